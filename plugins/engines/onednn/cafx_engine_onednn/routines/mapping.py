"""Products of rows with parameters, on row-major arrays: what recurrent layers do for all steps at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..api.constants import Alg, Arg
from ..api.memory import MemoryDesc
from ..api.pointwise import reduction, reorder
from ..api.primitives import PrimitiveDesc
from ..api.products import inner_product_backward_data, inner_product_forward, matmul
from ..execution import Invocation, Run, Work
from ..operands import Bindable, Operand
from ..routine import Accelerated, Gradients


class RowMapping:
    """y = x · Wᵀ + b, and its gradients.

    Args:
        routine: the layer's.
        rows: number of rows.
        weights, bias: indices of the parameters; None for no bias.
    """

    def __init__(self, routine: Accelerated, rows: int, weights: int, bias: int | None = None) -> None:
        self._routine, self._weights, self._bias = routine, weights, bias
        outputs, inputs = routine.layer.blobs[weights].shape
        self.x, self.y = (MemoryDesc.plain((rows, count)) for count in (inputs, outputs))
        self.w, self.b = MemoryDesc.plain((outputs, inputs)), None if bias is None else MemoryDesc.plain((outputs,))
        self._forward = inner_product_forward(self.x, self.w, self.b, self.y, training=routine.training)

    def forward(self, x: Bindable, parameters: Sequence[Bindable], y: Bindable) -> Invocation:
        """Compute y.

        Args:
            x: rows.
            parameters: all of the layer.
            y: overwritten.
        """
        arguments: dict[int, Bindable] = {Arg.SRC: _as(x, self.x), Arg.WEIGHTS: parameters[self._weights]}
        arguments |= {} if self._bias is None else {Arg.BIAS: parameters[self._bias]}
        return self._routine.call(self._forward, {**arguments, Arg.DST: _as(y, self.y)})

    def backward(self, weights: Bindable, dy: Bindable, dx: Bindable) -> Invocation:
        """dx = dy · W."""
        desc = inner_product_backward_data(self.x, self.w, self.y, self._forward)
        arguments = {Arg.DIFF_DST: _as(dy, self.y), Arg.WEIGHTS: weights, Arg.DIFF_SRC: _as(dx, self.x)}
        return self._routine.call(desc, arguments)

    def learn(self, x: Bindable, dy: Bindable, bias: Bindable | None = None) -> Sequence[Run]:
        """Add to the parameters' gradients, as far as they are learned.

        Args:
            x, dy: rows.
            bias: the sum of dy, if it is known.
        """
        layer = self._routine.layer
        reads = [each for each in (x, dy) if isinstance(each, Operand)]
        runs: list[Run] = []
        if layer.param_propagate_down[self._weights]:
            # a matmul is up to a third faster here than inner_product_backward_weights
            transposed = MemoryDesc.strided(self.y.dims[::-1], self.y.strides[::-1])
            product = matmul(transposed, self.x, None, self.w)
            arguments = {Arg.SRC: _as(dy, transposed), Arg.WEIGHTS: _as(x, self.x)}
            runs.append(self._gradient(self._weights, self.w, product, arguments, reads))
        if self.b is not None and layer.param_propagate_down[self._bias]:
            row = MemoryDesc.plain((1, *self.b.dims))
            add = reduction(Alg.REDUCTION_SUM, self.y, row) if bias is None else reorder(row, row)
            runs.append(
                self._gradient(self._bias, row, add, {Arg.SRC: _as(dy, self.y) if bias is None else bias}, reads)
            )
        return runs

    def _gradient(
        self, index: Any, desc: MemoryDesc, primitive: PrimitiveDesc, arguments: Mapping[int, Bindable], reads: Any
    ) -> Run:
        routine = self._routine

        def calls(results: Mapping[int, Bindable]) -> Sequence[Work]:
            return [routine.call(primitive, {**arguments, Arg.DST: results[index]})]

        return Gradients(routine, {index: (routine.layer.blobs[index].synced_diff, desc)}, calls, reads)


def _as(memory: Any, desc: MemoryDesc) -> Bindable:
    """Memory as rows: the same bytes with other axes."""
    return memory if memory.desc == desc else memory.window(desc)
