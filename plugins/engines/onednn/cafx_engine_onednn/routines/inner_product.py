"""Inner product."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from cafx.kernel import Unsupported

from .. import native
from ..api.attributes import Attr
from ..api.constants import DataType
from ..api.memory import MemoryDesc
from ..api.primitives import PrimitiveDesc
from ..api.products import inner_product_backward_data, inner_product_backward_weights, inner_product_forward
from ..execution import Deferred, Work
from ..operands import Bindable, Operand
from ..routine import pick
from .weighted import Weighted

BLOCK = 16
MOST_ROWS = 8
"""With more rows blocked weights are faster."""
FEWEST_OUTPUTS = 6
"""As many as a small product computes together."""


class InnerProduct(Weighted):
    """Row-major matrices times weights, which are kept blocked.

    Small inference batches are multiplied with row-major weights: another layout would need twice the
    memory for a moment, and would not be faster.
    """

    def choose(self) -> None:
        """One layout of the weights for all three primitives."""
        layer = self.layer
        if layer.options.transpose:
            raise Unsupported("transposed weights")
        if self.fusion.slopes and self.few_rows:
            raise Unsupported("slopes per channel of few rows")
        kind = self.engine.type
        rows, outputs = MemoryDesc.plain(layer.input_shape, kind), MemoryDesc.plain(layer.output_shape, kind)
        dims = layer.blobs[0].shape
        free, kept = MemoryDesc.any(dims, kind), self.kept_layout(dims)
        bias = self.bias_desc(layer.output_shape[1])

        def forward_desc(weights: MemoryDesc) -> PrimitiveDesc:
            return inner_product_forward(rows, weights, bias, outputs, training=self.training, attr=self.attr())

        keep = kept if kept and kind == DataType.F32 else None
        if self.few_rows:
            keep = MemoryDesc.plain(dims)
        self.forward_desc = pick(*([lambda: forward_desc(keep)] if keep else []), lambda: forward_desc(free))
        if any(self.learns):
            self.backward_weights = self._backward_weights(rows, outputs, bias if self.learns[1] else None)
        if self.training and self.propagate_down[0]:
            self.backward_data = pick(
                lambda: inner_product_backward_data(rows, self.forward_desc.weights, outputs, self.forward_desc),
                lambda: inner_product_backward_data(rows, free, outputs, self.forward_desc),
            )
        self.build.set_layout(self.tops[0], MemoryDesc.plain(self.tops[0].shape, kind))
        self.prefer_weights_layout()

    def unfused_desc(self, attr: Attr) -> PrimitiveDesc:
        """The forward primitive with other post-ops, for the same layouts."""
        desc, bias = self.forward_desc, self.bias_desc(self.layer.output_shape[1])
        return inner_product_forward(desc.src, desc.weights, bias, desc.dst, training=self.training, attr=attr)

    @property
    def few_rows(self) -> bool:
        """Whether this is a small inference batch, so that the weights stay row-major."""
        (rows, inputs), (_, outputs) = self.layer.input_shape, self.layer.output_shape
        few = rows <= MOST_ROWS and inputs % BLOCK == 0 and outputs >= FEWEST_OUTPUTS
        return (
            few and not self.build.plan.has_backward and self.engine.type == DataType.F32 and not native.unavailable()
        )

    def forward_calls(
        self, x: Operand, weights: Bindable, bias: Bindable | None, y: Operand, *addends: Operand
    ) -> Sequence[Work]:
        """What computes y."""
        if not self.few_rows:
            return super().forward_calls(x, weights, bias, y, *addends)
        from .small_product import product  # needs llvmlite, which is not everywhere

        shape = *self.layer.input_shape, self.layer.output_shape[1]
        threads, scratch = self.build.threads, self.build.scratch.floats
        memory = x, weights, bias, y
        return [Deferred(partial(product, shape, memory, self.fusion.slope, threads=threads, scratch=scratch))]

    def source_desc(self, desc: MemoryDesc) -> MemoryDesc:
        """The bottom with all its axes, row-major: the same bytes as the rows."""
        return MemoryDesc.plain(self.bottoms[0].shape, desc.dtype)

    def _backward_weights(self, rows: MemoryDesc, outputs: MemoryDesc, bias: MemoryDesc | None) -> PrimitiveDesc:
        free = MemoryDesc.any(self.layer.blobs[0].shape)
        same = self.forward_desc.weights if self.engine.type == DataType.F32 else free

        def back(weights: MemoryDesc) -> PrimitiveDesc:
            return inner_product_backward_weights(rows, weights, bias, outputs, self.forward_desc)

        return pick(lambda: back(same), lambda: back(free))
