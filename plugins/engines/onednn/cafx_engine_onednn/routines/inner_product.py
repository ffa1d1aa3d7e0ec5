"""Inner product by oneDNN."""

from __future__ import annotations

from collections.abc import Sequence

from cafx.kernel import Unsupported

from .. import native
from ..api.constants import DataType
from ..api.memory import Memory, MemoryDesc
from ..api.primitives import PrimitiveDesc
from ..api.products import inner_product_backward_data, inner_product_backward_weights, inner_product_forward
from ..operands import Operand
from ..routine import Run, pick
from ..routines.weighted import Bytes, Weighted

BLOCK = 16
MOST_ROWS = 8
"""With more rows blocked weights are faster."""
FEWEST_OUTPUTS = 6
"""So many may be computed at a time."""


class InnerProduct(Weighted):
    """Rows times weights, which are kept blocked; the rows are plain matrices.

    A few rows that are only tested are multiplied with weights that stay as they are: in another layout
    they would be held twice for a moment, and gain nothing.
    """

    def plan(self) -> None:
        """One layout of the weights for all three passes."""
        layer, step = self.layer, self.step
        if layer.options.transpose:
            raise Unsupported("transposed weights")
        kind = self.engine.type
        rows, outputs = MemoryDesc.plain(layer.rows, kind), MemoryDesc.plain(layer.outputs, kind)
        dims = layer.blobs[0].shape
        free, pinned = MemoryDesc.any(dims, kind), self.pinned(dims)
        bias = self.bias_desc(layer.outputs[1])

        def ahead(weights: MemoryDesc) -> PrimitiveDesc:
            return inner_product_forward(rows, weights, bias, outputs, training=self.training, attr=self.attr)

        keep = pinned if pinned and kind == DataType.F32 else None
        if self.plain:
            keep = MemoryDesc.plain(dims)
        self.ahead = pick(*([lambda: ahead(keep)] if keep else []), lambda: ahead(free))
        if any(self.learns):
            self.weights_back = self._weights_back(rows, outputs, bias if self.learns[1] else None)
        if self.training and step.propagate_down[0]:
            self.data_back = pick(
                lambda: inner_product_backward_data(rows, self.ahead.weights, outputs, self.ahead),
                lambda: inner_product_backward_data(rows, free, outputs, self.ahead),
            )
        top = step.top[0]
        self.engine.settle(top, MemoryDesc.plain(top.shape, kind))
        self.settle_weights()

    @property
    def plain(self) -> bool:
        """Whether the weights stay as they are."""
        (rows, inputs), (_, outputs) = self.layer.rows, self.layer.outputs
        few = rows <= MOST_ROWS and inputs % BLOCK == 0 and outputs >= FEWEST_OUTPUTS
        return few and not self.engine.goes_back and self.engine.type == DataType.F32 and not native.unavailable()

    def forward_calls(
        self, x: Operand, weights: Bytes, bias: Bytes | None, y: Operand, *more: Operand
    ) -> Sequence[Run]:
        """What computes y."""
        if not self.plain:
            return super().forward_calls(x, weights, bias, y, *more)
        from ..routines.small_product import product  # needs llvmlite, which is not everywhere

        shape = *self.layer.rows, self.layer.outputs[1]
        memory, threads = (x, weights, bias, y), self.engine.threads
        return [product(shape, memory, self.slope, threads=threads, scratch=self._scratch).bind()]

    def _scratch(self, name: str, count: int) -> Memory:
        return self.engine.spare(name, MemoryDesc.plain((count,)))

    def source_desc(self, desc: MemoryDesc) -> MemoryDesc:
        """The bottom with all its axes, row-major: the rows' very bytes."""
        return MemoryDesc.plain(self.step.bottom[0].shape, desc.dtype)

    def _weights_back(self, rows: MemoryDesc, outputs: MemoryDesc, bias: MemoryDesc | None) -> PrimitiveDesc:
        free = MemoryDesc.any(self.layer.blobs[0].shape)
        same = self.ahead.weights if self.engine.type == DataType.F32 else free

        def back(weights: MemoryDesc) -> PrimitiveDesc:
            return inner_product_backward_weights(rows, weights, bias, outputs, self.ahead)

        return pick(lambda: back(same), lambda: back(free))
