"""Runs a plan of a graph of cuDNN's frontend on memory."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import attrs

from .cudnn_nodes import Node, Pointwise
from .cudnn_plans import Plan
from .cudnn_tensor import Tensor
from .library_memory import BYTE, Floats, Operand, check_aligned, check_disjoint, rounded
from .runtime import Runtime

ALIGNMENT = 16
SCRIBBLE = 0xA5


def addresses(pack: Mapping[Any, Any]) -> dict[int, int]:
    """A variant pack as addresses by uid.

    Raises:
        ValueError: something that is neither a plain int nor an array on the device.
    """
    return {
        key.get_uid() if isinstance(key, Tensor) else key: address_of(value)
        for key, value in pack.items()
        if key is not None
    }


def address_of(value: Any) -> int:
    """The address that a value of a variant pack means."""
    if type(value) is int:
        return value
    if not hasattr(value, "__dlpack__") or not hasattr(value, "data"):
        raise ValueError("Object does not have the __dlpack__() method")
    return int(value.data.ptr)


@attrs.frozen
class Execution:
    """One way to compute a graph.

    Attributes:
        nodes: the operations, in order.
        tensors: all tensors.
        plan: the plan, for its name and workspace.
        runtime: the device.
    """

    nodes: list[Node]
    tensors: list[Tensor]
    plan: Plan
    runtime: Runtime

    @property
    def name(self) -> str:
        """The operations' names."""
        return "+".join(node.operation for node in self.nodes)

    def submit(self, pack: dict[int, int], workspace: int, key: Hashable) -> None:
        """Check the memory and hand the work to the device.

        Args:
            pack: addresses by uid.
            workspace: its address.
            key: what the plan is known by, where first runs matter.
        """
        operands = self.operands(pack)
        spans = [operand.span for operand in operands.values()]
        if self.plan.workspace:
            check_aligned(workspace, ALIGNMENT, f"{self.name}: workspace")
            spans.append((workspace, self.plan.workspace))
        self.runtime.blocks(spans, self.name)
        self.check_overlaps(operands, workspace)
        self.runtime.warm(key)
        self.runtime.library_calls.append((self.name, self.plan.name))
        self.runtime.submit(lambda: self.run(operands, workspace), spans, self.name)

    def operands(self, pack: dict[int, int]) -> dict[int, Operand]:
        """The stored tensors in memory, by uid."""
        stored = {tensor.get_uid(): tensor for tensor in self.tensors if not tensor.get_is_virtual()}
        for uid in stored:
            if uid not in pack:
                raise ValueError(f"Uid {uid} not found in variant pack.")
        assert pack.keys() == stored.keys(), f"{self.name}: unknown uids {sorted(pack.keys() - stored.keys())}"
        for uid, address in pack.items():
            check_aligned(address, ALIGNMENT, f"{self.name}: {stored[uid]}")
        return {uid: tensor.operand(pack[uid]) for uid, tensor in stored.items()}

    def check_overlaps(self, operands: dict[int, Operand], workspace: int) -> None:
        """Refuse results that overwrite what is still read, or each other, or the workspace."""
        outputs = [operands[uid] for uid in map(Tensor.get_uid, self.stored_outputs())]
        scratch = [workspace_operand(workspace, self.plan.workspace)] if self.plan.workspace else []
        for at, output in enumerate(outputs):
            check_disjoint(output, outputs[at + 1 :], self.runtime, self.name)
            for node in self.nodes:
                stored = [tensor.get_uid() for tensor in node.inputs.values() if not tensor.get_is_virtual()]
                read = [operands[uid] for uid in stored]
                in_place = isinstance(node, Pointwise)
                check_disjoint(output, [x for x in read if not (in_place and x == output)], self.runtime, self.name)
        for operand in operands.values():
            check_disjoint(operand, scratch, self.runtime, f"{self.name}: workspace")

    def stored_outputs(self) -> list[Tensor]:
        """Results that are stored."""
        return [node.output for node in self.nodes if not node.output.get_is_virtual()]

    def run(self, operands: dict[int, Operand], workspace: int) -> None:
        """Compute; the workspace is overwritten, as plans do."""
        if self.plan.workspace:
            workspace_operand(workspace, self.plan.workspace).view(self.runtime)[...] = SCRIBBLE
        values: dict[int, Floats] = {}
        for node in self.nodes:
            read = {role: self.value(tensor, values, operands) for role, tensor in node.inputs.items()}
            values[id(node.output)] = rounded(node.run(read), node.output.kind)
        for tensor in self.stored_outputs():
            operands[tensor.get_uid()].write(self.runtime, values[id(tensor)])

    def value(self, tensor: Tensor, values: dict[int, Floats], operands: dict[int, Operand]) -> Floats:
        """A tensor's values, computed before or read from memory."""
        if id(tensor) not in values:
            values[id(tensor)] = operands[tensor.get_uid()].read(self.runtime)
        return values[id(tensor)]


def workspace_operand(address: int, nbytes: int) -> Operand:
    """The workspace as bytes."""
    return Operand(address, (nbytes,), (1,), BYTE)
