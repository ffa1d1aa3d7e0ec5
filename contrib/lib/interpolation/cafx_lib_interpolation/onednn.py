"""Interp and Resize on the oneDNN engine: one product along rows, then blends of neighbouring rows."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from cafx.kernel import Unsupported
from cafx_engine_onednn.api.constants import Arg, DataType
from cafx_engine_onednn.api.memory import Memory, MemoryDesc
from cafx_engine_onednn.api.products import matmul
from cafx_engine_onednn.exact import Again, AllFinite, Choice, require_kernels
from cafx_engine_onednn.execution import NOTHING, Deferred, Execution, Run
from cafx_engine_onednn.operands import Operand
from cafx_engine_onednn.routine import Accelerated, pick


class Interpolation(Accelerated):
    """Y = R (X Cᵀ), where a row of R has two neighbouring weights; as written where a value is not finite."""

    def choose(self) -> None:
        """Row-major planes."""
        require_kernels()
        (bottom,), (top,), layer = self.bottoms, self.tops, self.layer
        if self.engine.type != DataType.F32:
            raise Unsupported("bfloat16")
        if any(layer.crop):
            raise Unsupported("cropped")
        self.planes, (height, width) = bottom.count(0, 2), bottom.shape[2:]
        self.width = columns = top.shape[3]
        self.x, self.y = MemoryDesc.plain((self.planes * height, width)), MemoryDesc.plain((top.count_,))
        self.along = MemoryDesc.plain((self.planes * height, columns))
        self.narrow = self.build.scratch("interpolated rows", self.along)
        self.columns = np.ascontiguousarray(layer.columns)
        self.weights = Memory(MemoryDesc.plain((columns, width)), self.columns.reshape(-1))
        transposed = MemoryDesc.strided((width, columns), (1, width))
        self.forward_desc = pick(lambda: matmul(self.x, transposed, None, self.along))
        if self.training:
            plain = self.weights.desc
            self.backward_desc = pick(lambda: matmul(self.along, plain, None, self.x))
        self.build.set_layout(top, None)

    def _blending(self, wide: Operand, *, backward: bool) -> Deferred:
        return Deferred(partial(self._program, wide, backward))

    def _program(self, wide: Operand, backward: bool) -> Any:
        from .blending import Blends, program  # needs llvmlite, which is not everywhere

        if not hasattr(self, "blends"):
            self.blends = Blends(self.layer.rows)
        common = {"threads": self.build.threads, "scratch": self.build.scratch.floats}
        return program(self.narrow, wide, self.blends, self.planes, self.width, backward=backward, **common)

    def make_forward(self) -> Run:
        """A product and a kernel."""
        x, y = Operand(self.bottoms[0].synced_data, self.x), Operand(self.tops[0].synced_data, self.y)
        arguments = {Arg.SRC: x, Arg.WEIGHTS: self.weights, Arg.DST: self.narrow}
        usual = [self.call(self.forward_desc, arguments), self._blending(y, backward=False)]
        choice = Choice([AllFinite(self.build, x)], usual, lambda: [self.reference.forward])
        return Execution([x], [choice], [y])

    def make_backward(self) -> Run:
        """A kernel and a product; every value of dy is in some of dx."""
        if not self.propagate_down[0]:
            return NOTHING
        dx, dy = Operand(self.bottoms[0].synced_diff, self.x), Operand(self.tops[0].synced_diff, self.y)
        arguments = {Arg.SRC: self.narrow, Arg.WEIGHTS: self.weights, Arg.DST: dx}
        finite = AllFinite(self.build, dx)
        again = Again(lambda: not finite(), lambda: [self.reference.backward])
        return Execution(
            [dy], [self._blending(dy, backward=True), self.call(self.backward_desc, arguments), again], [dx]
        )
