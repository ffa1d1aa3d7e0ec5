"""Inner product by cuBLAS, with bias, ReLU and dropout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cafx.kernel import Unsupported
from cafx.kernel.blob import Place
from cafx.kernel.net import Access
from cafx_engine_cudnn.operands import Operand
from cafx_engine_cudnn.places import ChannelsLast, Extent
from cafx_engine_cudnn.reductions import masked_sums
from cafx_engine_cudnn.routine import Accelerated, ParameterGradient
from cafx_engine_cupy.cublas import REAL_16BF, REAL_32F, Matrix


class InnerProduct(Accelerated):
    """y = dropout(relu(x Wᵀ + b)), and its gradients.

    The bottom is multiplied as it lies in memory, channels-last or row-major, and the weights are kept in
    the same order, so that nothing is permuted. One kernel does what follows the product, and one pass
    over the gradient gives that of ReLU and dropout and the bias' gradient. With a ReLU, y tells what
    dropout has dropped: no mask is kept.

    In bfloat16 the product is float32 until bias and ReLU are done, and the weights' gradient is float32.
    """

    def choose(self) -> None:
        """Rows of the first axis."""
        layer, (bottom,), (top,) = self.layer, self.bottoms, self.tops
        if layer.axis(bottom, layer.options.axis) != 1:
            raise Unsupported("rows of more than one axis")
        if self.fusion.dropout is not None and self.fusion.slope != 0.0:
            raise Unsupported("dropout without a ReLU before it")
        place = self._bottom_place()
        self.x = self.operand(bottom.synced_data, place)
        self.dx = self.operand(bottom.synced_diff, place)
        self.y, self.dy = self.data(top), self.diff(top)
        self.build.writes(top, self.y.place)
        self.rows, self.inputs = bottom.shape[0], self._row_length(place)
        self.outputs = self.build.extent(top).padded
        self._choose_parameters(place)
        self._half: Any = None

    def _bottom_place(self) -> Place:
        """Where the bottom's writer leaves it, if its rows can be multiplied there."""
        bottom = self.bottoms[0]
        written, inputs = self.build.written_in(bottom), math.prod(bottom.shape[1:])
        if isinstance(written, ChannelsLast) and written.extent.images == bottom.shape[0]:
            return written
        padded = self.precision.padded(inputs)
        if written is self.build.engine.place and not self.precision.bf16 and padded == inputs:
            return written
        extent = Extent(bottom.shape[0], inputs, (), padded)
        flat: Place = self.build.place(extent, lambda: ChannelsLast(self.precision, extent))
        return flat

    def _row_length(self, place: Place) -> int:
        """Values from row to row of the bottom, padding included."""
        if isinstance(place, ChannelsLast):
            return place.extent.positions * place.extent.padded
        return math.prod(self.bottoms[0].shape[1:])

    def _choose_parameters(self, place: Place) -> None:
        """Weights with an output's weights side by side, in the order of the bottom's rows; the bias padded."""
        weights, count = self.layer.blobs[0], self.tops[0].shape[1]
        shape: tuple[int, ...] = (math.prod(self.bottoms[0].shape[1:]),)
        order, padded = (1,), (self.inputs,)
        if isinstance(place, ChannelsLast) and place.extent.positions > 1:
            extent = place.extent
            shape, order, padded = (extent.channels, extent.positions), (2, 1), (extent.positions, extent.padded)
        if self.layer.options.transpose:
            shape, axes = (*shape, count), (len(order), *(axis - 1 for axis in order))
        else:
            shape, axes = (count, *shape), (0, *order)
        kept = self.build.packed(shape, axes, (self.outputs, *padded))
        self.w, self.dw = (self.operand(array, kept) for array in (weights.synced_data, weights.synced_diff))
        self.build.prefer_place(weights, kept)
        self.b: Operand | None = None
        if self.layer.options.bias_term:
            bias = self.layer.blobs[1]
            kept = self.build.packed(bias.shape, (0,), (self.outputs,))
            self.b, self.db = (self.operand(array, kept) for array in (bias.synced_data, bias.synced_diff))
            self.build.prefer_place(bias, kept)

    # -- what is planned

    @property
    def forward_uses(self) -> Access:
        """From the rows to their products."""
        return Access(reads=[self.x], writes=[self.y])

    @property
    def backward_uses(self) -> Access:
        """From the products' gradient to that of the rows."""
        reads = [self.x, self.dy, *([self.y] if self._masks else [])]
        return Access(reads=reads, writes=[self.dx] if self.propagate_down[0] else [])

    @property
    def _masks(self) -> bool:
        """Whether the gradient of a fused ReLU is to be computed here."""
        return self.fusion.slope is not None

    @property
    def nbytes(self) -> int:
        """The copy of the weights that products read."""
        return 2 * self.outputs * self.inputs if self.precision.bf16 else 0

    def release(self) -> None:
        """Let go of memory."""
        super().release()
        self._half = None

    # -- passes

    def forward(self) -> None:
        """Write the products."""
        x, weights, y = self.x.read(), self._weights(), self.y.target()
        bf16 = self.precision.bf16
        product = self.build.scratch("product", y.size, np.float32) if bf16 else y
        self._multiply(
            (self.outputs, self.rows, self.inputs),
            Matrix(weights.data.ptr, self.inputs, transposed=True),
            Matrix(x.data.ptr, self.inputs),
            Matrix(product.data.ptr, self.outputs),
            result=REAL_32F,
        )
        if bf16 or self.b is not None or self._masks or self.outputs != self.tops[0].shape[1]:
            self._finish(product, y)
        self.y.written()

    def _finish(self, product: Any, y: Any) -> None:
        """Bias, ReLU and dropout."""
        dropout, slope = self.fusion.dropout, self.fusion.slope
        state, ratio, scale = None, 0.0, 1.0
        if dropout is not None:
            state = dropout.context.draws.stream(dropout.name)
            ratio, scale = dropout.options.dropout_ratio, dropout.scale
        packs, channels = self.outputs // self.precision.vector, self.tops[0].shape[1]
        bias = None if self.b is None else self.b.read()
        sizes = np.int64(self.rows), np.int32(packs), np.int32(channels)
        numbers = np.int32(slope is not None), np.float32(slope or 0.0), np.float32(ratio), np.float32(scale)
        self.launch("dropout.cu", "finish_product", self.rows * packs, product, y, bias, state, *sizes, *numbers)
        if state is not None:
            state[:1] += 1

    def _weights(self) -> Any:
        """The weights as products read them, as they are now."""
        weights = self.w.read()
        if not self.precision.bf16:
            return weights
        if self._half is None:
            self._half = self.session.cupy.empty(weights.size, self.precision.value)
        self.launch("layout.cu", "narrow", weights.size, weights, self._half, np.int64(weights.size))
        return self._half

    def backward(self) -> None:
        """Write the rows' gradient; add to those of weights and bias."""
        dy = self._finished_gradient()
        if self.layer.param_propagate_down[0]:
            ParameterGradient(self.dw)(lambda target, add: self._add_weights_gradient(dy, target, add))
        if self.propagate_down[0]:
            weights = self._half if self._half is not None else self._weights()
            self._multiply(
                (self.inputs, self.rows, self.outputs),
                Matrix(weights.data.ptr, self.inputs),
                Matrix(dy.data.ptr, self.outputs),
                Matrix(self.dx.target().data.ptr, self.inputs),
                result=self._kind,
            )
            self.dx.written()

    def _finished_gradient(self) -> Any:
        """The product's gradient, and the bias' on the way."""
        dy = self.dy.read()
        masked = self.build.scratch("masked", dy.size, self.precision.value) if self._masks else None
        y = self.y.read() if self._masks else None
        scale = 1.0 if self.fusion.dropout is None else self.fusion.dropout.scale
        slope = self.fusion.slope or 0.0

        def run(sums: tuple[Any, bool] | None) -> None:
            masked_sums(self, self.tops[0], dy, y=y, result=masked, slope=slope, scale=scale, sums=sums)

        if self.b is not None and self.layer.param_propagate_down[1]:
            ParameterGradient(self.db)(lambda target, add: run((target, add)))
        elif masked is not None:
            run(None)
        return dy if masked is None else masked

    def _add_weights_gradient(self, dy: Any, target: Any, add: bool) -> None:
        self._multiply(
            (self.inputs, self.outputs, self.rows),
            Matrix(self.x.read().data.ptr, self.inputs),
            Matrix(dy.data.ptr, self.outputs, transposed=True),
            Matrix(target.data.ptr, self.inputs),
            result=REAL_32F,
            add=add,
        )

    @property
    def _kind(self) -> int:
        """cuBLAS's name of the type of activations."""
        return REAL_16BF if self.precision.bf16 else REAL_32F

    def _multiply(
        self, shape: tuple[int, int, int], a: Matrix, b: Matrix, c: Matrix, *, result: int, add: bool = False
    ) -> None:
        """C = A B, or C += A B, column-major."""
        self.session.blas.gemm(shape, a, b, c, kinds=(self._kind, result), beta=float(add))
