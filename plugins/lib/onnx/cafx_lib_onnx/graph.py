"""GraphBuilder: the nodes and constants of an ONNX graph while it is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Array = npt.NDArray[Any]
Shape = tuple[int | str, ...]
"""Lengths of axes; a name stands for a length that is known only when the graph runs."""
FLOAT = onnx.TensorProto.FLOAT
CUSTOM_DOMAIN = "cafx"
LARGE = 64
"""Constants with more values than this are never compared with others to be shared."""


@attrs.define
class GraphBuilder:
    """Nodes, constants, inputs and outputs, under names that are unique.

    Attributes:
        nodes: the nodes, in order.
        constants: the initializers, by name.
        inputs: shape of each input, by name.
        outputs: names of the outputs, in order.
        shapes: shape of each value that is a blob, by name.
        producers: the node that computes each value, by name.
    """

    nodes: list[onnx.NodeProto] = attrs.field(factory=list)
    constants: dict[str, Array] = attrs.field(factory=dict)
    inputs: dict[str, Shape] = attrs.field(factory=dict)
    outputs: list[str] = attrs.field(factory=list)
    shapes: dict[str, Shape] = attrs.field(factory=dict)
    producers: dict[str, onnx.NodeProto] = attrs.field(factory=dict)
    _names: set[str] = attrs.field(factory=set)
    _node_names: set[str] = attrs.field(factory=set)
    _shared: dict[Any, str] = attrs.field(factory=dict)

    def fresh(self, stem: str) -> str:
        """A name that no value has yet: ``stem``, or ``stem`` with a number."""
        return _unused(stem, self._names)

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        *,
        name: str,
        domain: str = "",
        attributes: dict[str, Any] | None = None,
    ) -> onnx.NodeProto:
        """Append a node.

        Args:
            op: the operator's name.
            inputs, outputs: names of values; an empty name leaves out an optional one.
            name: the node's name, made unique.
            domain: the operator's domain.
            attributes: the node's attributes; None leaves one out.
        """
        given = {key: value for key, value in (attributes or {}).items() if value is not None}
        node = helper.make_node(
            op, list(inputs), list(outputs), name=_unused(name, self._node_names), domain=domain, **given
        )
        self.nodes.append(node)
        self.producers.update(dict.fromkeys((each for each in outputs if each), node))
        return node

    def constant(self, array: npt.ArrayLike, stem: str) -> str:
        """The name of an initializer with these values; small ones with equal values are shared."""
        values = np.ascontiguousarray(array).reshape(np.shape(array))
        key = (values.dtype.str, values.shape, values.tobytes()) if values.size <= LARGE else None
        if key is not None and key in self._shared:
            return self._shared[key]
        name = self.fresh(stem)
        self.constants[name] = values
        if key is not None:
            self._shared[key] = name
        return name

    def readers(self, value: str) -> list[onnx.NodeProto]:
        """The nodes that read a value."""
        return [node for node in self.nodes if value in node.input]

    def rename(self, names: dict[str, str]) -> None:
        """Give values other names."""
        for node in self.nodes:
            for field in (node.input, node.output):
                field[:] = [names.get(each, each) for each in field]
        for attribute in ("constants", "inputs", "shapes", "producers"):
            renamed = {names.get(key, key): value for key, value in getattr(self, attribute).items()}
            setattr(self, attribute, renamed)
        self.outputs = [names.get(each, each) for each in self.outputs]

    def prune(self) -> list[str]:
        """Drop nodes, constants and inputs that no output needs; returns the names of the dropped inputs."""
        needed, nodes = set(self.outputs), []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                needed.update(node.input)
                nodes.append(node)
        self.nodes = nodes[::-1]
        self.producers = {value: node for node in self.nodes for value in node.output if value}
        self.constants = {name: array for name, array in self.constants.items() if name in needed}
        dropped = [name for name in self.inputs if name not in needed]
        self.inputs = {name: shape for name, shape in self.inputs.items() if name in needed}
        return dropped

    def model(self, name: str, opset: int, ir_version: int) -> onnx.ModelProto:
        """The graph as a model."""
        inputs = [helper.make_tensor_value_info(each, FLOAT, shape) for each, shape in self.inputs.items()]
        outputs = [helper.make_tensor_value_info(each, FLOAT, self.shapes.get(each)) for each in self.outputs]
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self._tensors())
        imports = [helper.make_opsetid("", opset)]
        if any(node.domain == CUSTOM_DOMAIN for node in self.nodes):
            imports.append(helper.make_opsetid(CUSTOM_DOMAIN, 1))
        return helper.make_model(graph, opset_imports=imports, ir_version=ir_version, producer_name="cafx")

    def _tensors(self) -> Iterable[onnx.TensorProto]:
        return [numpy_helper.from_array(array, name) for name, array in self.constants.items()]


def _unused(stem: str, names: set[str]) -> str:
    name, number = stem, 1
    while name in names:
        name, number = f"{stem}_{number}", number + 1
    names.add(name)
    return name
