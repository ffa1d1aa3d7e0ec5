"""Passes of what multiplies each channel of each image by a factor, and perhaps adds another blob."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Blob, Unsupported

from ..api.constants import DataType
from ..api.memory import MemoryDesc
from ..exact import require_kernels
from ..execution import NOTHING, Execution, Run
from ..operands import Operand
from ..routine import Accelerated
from .convolution import ACTIVATIONS, BLOCK


class RowScaling:
    """y = a x + z in one pass over x and z; da, dx and dz in one over dy and x.

    Args:
        routine: the layer's.
        factors, x, addend: indices of a, with one value per image and channel, of x and of z; None for no z.

    Raises:
        Unsupported: bfloat16, or no kernels.
    """

    def __init__(self, routine: Accelerated, factors: int, x: int, addend: int | None = None) -> None:
        require_kernels()
        if routine.engine.type != DataType.F32:
            raise Unsupported("bfloat16")
        self._routine, self._indices = routine, {"factors": factors, "x": x}
        if addend is not None:
            self._indices["z"] = addend
        bottom = routine.bottoms[x]
        shape, tag = bottom.shape, ACTIVATIONS.get(bottom.num_axes)
        self.desc, self.blocked = MemoryDesc.plain((bottom.count_,)), False
        if tag is not None and shape[1] % BLOCK == 0:
            blocks = MemoryDesc.tagged(shape, tag, DataType.F32)
            self.blocked = routine.build.layout_of(bottom) == blocks
            self.desc = blocks if self.blocked else self.desc
        routine.build.set_layout(routine.tops[0], self.desc if self.blocked else None)

    def _bottom(self, name: str) -> Blob:
        return self._routine.bottoms[self._indices[name]]

    def _operand(self, name: str, *, diff: bool = False) -> Operand:
        """A bottom's values or gradient; factors are row-major."""
        blob = self._bottom(name)
        desc = MemoryDesc.plain((blob.count_,)) if name == "factors" else self.desc
        return Operand(blob.synced_diff if diff else blob.synced_data, desc)

    def _program(self, needed: tuple[bool, bool, bool] | None, **memory: Operand) -> Any:
        from ..scaled_rows import Rows, program  # needs llvmlite, which is not everywhere

        planes, per_row = self._bottom("factors").count_, BLOCK if self.blocked else 1
        rows = Rows(planes // per_row, self._bottom("x").count_ // planes * per_row, self.blocked)
        build = self._routine.build
        return program(memory, rows, needed, threads=build.threads, scratch=build.scratch.floats)

    def forward(self) -> Run:
        """One kernel."""
        reads = {name: self._operand(name) for name in self._indices}
        y = Operand(self._routine.tops[0].synced_data, self.desc)
        return Execution(reads.values(), [self._program(None, **reads, y=y)], [y])

    def backward(self) -> Run:
        """One kernel for the gradients that are needed."""
        down = {name: bool(self._routine.propagate_down[index]) for name, index in self._indices.items()}
        if not any(down.values()):
            return NOTHING
        dy = Operand(self._routine.tops[0].synced_diff, self.desc)
        reads = {"factors": self._operand("factors"), "data": self._operand("x")}
        names = {"factors": "factor_diffs", "x": "x", "z": "z"}
        writes = {names[name]: self._operand(name, diff=True) for name, needed in down.items() if needed}
        needed = down["factors"], down["x"], down.get("z", False)
        return Execution([*reads.values(), dy], [self._program(needed, **reads, y=dy, **writes)], writes.values())
