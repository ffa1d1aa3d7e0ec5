"""What convolution, deconvolution and inner product share: weights, bias, and the ReLU behind them."""

from __future__ import annotations

from typing import Any

import numpy as np

from cafx.kernel.net import Access
from cafx_engine_cudnn.operands import Operand
from cafx_engine_cudnn.places import PackedParameter
from cafx_engine_cudnn.reductions import masked_sums
from cafx_engine_cudnn.routine import Accelerated, ParameterGradient


class Weighted(Accelerated):
    """A product with weights, a bias and a ReLU.

    Attributes:
        x, dx, y, dy: bottom and top, and their gradients.
        w, dw: the weights and their gradient.
        b, db: the bias and its gradient; None without one.
    """

    x: Operand
    dx: Operand
    y: Operand
    dy: Operand
    w: Operand
    dw: Operand
    b: Operand | None = None
    db: Operand | None = None
    _half: Any = None

    def take_weights(self, place: PackedParameter) -> None:
        """Create the operands of the weights in their place."""
        weights = self.layer.blobs[0]
        self.w, self.dw = (self.operand(array, place) for array in (weights.synced_data, weights.synced_diff))

    def take_bias(self) -> None:
        """Create the operands of the bias, if there is one."""
        if self.layer.options.bias_term:
            bias = self.layer.blobs[1]
            place = self.build.packed(bias.shape, (0,), (self.precision.padded(bias.shape[0]),))
            self.b, self.db = (self.operand(array, place) for array in (bias.synced_data, bias.synced_diff))

    def announce_places(self) -> None:
        """Say where the result is left, and where the parameters are best kept."""
        self.build.writes(self.tops[0], self.y.place)
        for blob, operand in zip(self.layer.blobs, (self.w, self.b), strict=False):
            if operand is not None:
                self.build.prefer_place(blob, operand.place)

    # -- what is planned

    @property
    def forward_uses(self) -> Access:
        """From the bottom to the result."""
        return Access(reads=[self.x], writes=[self.y])

    @property
    def backward_uses(self) -> Access:
        """From the result's gradient to the bottom's."""
        reads = [self.x, self.dy, *([self.y] if self.masks else [])]
        return Access(reads=reads, writes=[self.dx] if self.propagate_down[0] else [])

    @property
    def masks(self) -> bool:
        """Whether the gradient of a fused ReLU is to be computed here."""
        return self.fusion.slope is not None and not self.fusion.relu_gradient_elsewhere

    @property
    def nbytes(self) -> int:
        """The copy of the weights that products read."""
        place = self.w.place
        assert isinstance(place, PackedParameter)
        return 2 * place.size if self.precision.bf16 else 0

    def release(self) -> None:
        """Let go of memory."""
        super().release()
        self._half = None

    # -- passes

    def multiplied_weights(self) -> Any:
        """The weights as products read them, as they are now."""
        weights = self.w.read()
        if not self.precision.bf16:
            return weights
        if self._half is None:
            self._half = self.session.cupy.empty(weights.size, self.precision.value)
        self.launch("layout.cu", "narrow", weights.size, weights, self._half, np.int64(weights.size))
        return self._half

    def weights_of_forward(self) -> Any:
        """The same as the forward pass has read them."""
        return self.multiplied_weights() if self._half is None else self._half

    def product_gradient(self, scale: float = 1.0) -> Any:
        """The gradient before the ReLU, and the bias' gradient on the way.

        Args:
            scale: the factor of what passes.
        """
        dy, top = self.dy.read(), self.tops[0]
        masked = self.build.scratch("masked", dy.size, self.precision.value) if self.masks else None
        y = self.y.read() if self.masks else None
        slope = self.fusion.slope or 0.0

        def run(sums: tuple[Any, bool] | None) -> None:
            masked_sums(self, top, dy, y=y, result=masked, slope=slope, scale=scale, sums=sums)

        if self.db is not None and self.layer.param_propagate_down[1]:
            ParameterGradient(self.db)(lambda target, add: run((target, add)))
        elif masked is not None:
            run(None)
        return dy if masked is None else masked
