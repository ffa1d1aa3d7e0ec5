"""1×1 convolutions in groups as matrix products of channels-last pixels, one for each group."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..api.constants import Arg
from ..api.memory import MemoryDesc
from ..api.primitives import PrimitiveDesc
from ..api.products import matmul
from ..execution import Invocation
from ..operands import Bindable
from ..routine import Accelerated, pick


class GroupedProducts:
    """y = W ∘ x for kernels of 1×1 in groups, where oneDNN's convolutions take up to three times as long.

    There is no bias, and nothing is fused: a batch of products with a bias is one of oneDNN's slow reference
    implementations, and with an addend it crashes.

    Args:
        routine: the convolution's.
        source, result: the shapes of x and y.
        weights: the weights' shape: groups, outputs and inputs of a group, 1, 1.

    Attributes:
        source, result, weights: the layouts: channels last, and row-major.
    """

    def __init__(
        self, routine: Accelerated, source: Sequence[int], result: Sequence[int], weights: Sequence[int]
    ) -> None:
        groups, outputs, inputs, *_ = weights
        self._routine, self._rows = routine, source[0] * math.prod(source[2:])
        self.source, self.result = MemoryDesc.channels_last(source), MemoryDesc.channels_last(result)
        self.weights = MemoryDesc.plain(weights)
        size = outputs * inputs
        self._x = MemoryDesc.strided((groups, self._rows, inputs), (inputs, groups * inputs, 1))
        self._y = MemoryDesc.strided((groups, self._rows, outputs), (outputs, groups * outputs, 1))
        self._y_transposed = MemoryDesc.strided((groups, outputs, self._rows), (outputs, 1, groups * outputs))
        self._w = MemoryDesc.strided((groups, outputs, inputs), (size, inputs, 1))
        self._w_transposed = MemoryDesc.strided((groups, inputs, outputs), (size, 1, inputs))

    @staticmethod
    def fits(weights: Sequence[int], group: int) -> bool:
        """Whether there are several groups, of more than one channel."""
        return group > 1 and max(weights[1:3]) > 1 and all(taps == 1 for taps in weights[3:])

    def forward(self, x: Bindable, weights: Bindable, y: Bindable) -> Invocation:
        """y = W ∘ x."""
        product = self._product(self._x, self._w_transposed, self._y)
        arguments = {Arg.SRC: x.window(self._x), Arg.WEIGHTS: weights.window(self._w_transposed)}
        return self._routine.call(product, {**arguments, Arg.DST: y.window(self._y)})

    def data(self, dy: Bindable, weights: Bindable, dx: Bindable) -> Invocation:
        """dx = Wᵀ ∘ dy."""
        product = self._product(self._y, self._w, self._x)
        arguments = {Arg.SRC: dy.window(self._y), Arg.WEIGHTS: weights.window(self._w), Arg.DST: dx.window(self._x)}
        return self._routine.call(product, arguments)

    def gradient(self, x: Bindable, dy: Bindable, weights: Bindable) -> Invocation:
        """The gradient of W."""
        product = self._product(self._y_transposed, self._x, self._w)
        arguments = {Arg.SRC: dy.window(self._y_transposed), Arg.WEIGHTS: x.window(self._x)}
        return self._routine.call(product, {**arguments, Arg.DST: weights.window(self._w)})

    @staticmethod
    def _product(left: MemoryDesc, right: MemoryDesc, result: MemoryDesc) -> PrimitiveDesc:
        return pick(lambda: matmul(left, right, None, result))
