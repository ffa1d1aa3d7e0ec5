"""Inner product by cuBLAS, with bias, ReLU and dropout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cafx.kernel import Unsupported
from cafx.kernel.blob import Place
from cafx_engine_cudnn.places import ChannelsLast, Extent
from cafx_engine_cudnn.routine import ParameterGradient
from cafx_engine_cudnn.routines.weighted import Weighted
from cafx_engine_cupy.cublas import REAL_16BF, REAL_32F, Matrix


class InnerProduct(Weighted):
    """y = dropout(relu(x Wᵀ + b)), and its gradients.

    The bottom is multiplied in the layout it has in memory, channels-last or row-major, and the weights are kept in
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
        self.rows, self.inputs = bottom.shape[0], self._row_length(place)
        self.outputs = self.build.extent(top).padded
        self._choose_parameters(place)

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
        count = self.tops[0].shape[1]
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
        self.take_weights(kept)
        self.take_bias()
        self.announce_places()

    # -- passes

    def forward(self) -> None:
        """Write the products."""
        x, weights, y = self.x.read(), self.multiplied_weights(), self.y.target()
        bf16 = self.precision.bf16
        product = self.build.scratch("product", y.size, np.float32) if bf16 else y
        self._multiply(
            (self.outputs, self.rows, self.inputs),
            Matrix(weights.data.ptr, self.inputs, transposed=True),
            Matrix(x.data.ptr, self.inputs),
            Matrix(product.data.ptr, self.outputs),
            result=REAL_32F,
        )
        if bf16 or self.b is not None or self.masks or self.outputs != self.tops[0].shape[1]:
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

    def backward(self) -> None:
        """Write the rows' gradient; add to those of weights and bias."""
        dy = self.product_gradient(1.0 if self.fusion.dropout is None else self.fusion.dropout.scale)
        if self.layer.param_propagate_down[0]:
            ParameterGradient(self.dw)(lambda target, add: self._add_weights_gradient(dy, target, add))
        if self.propagate_down[0]:
            weights = self.weights_of_forward()
            self._multiply(
                (self.inputs, self.rows, self.outputs),
                Matrix(weights.data.ptr, self.inputs),
                Matrix(dy.data.ptr, self.outputs),
                Matrix(self.dx.target().data.ptr, self.inputs),
                result=self._kind,
            )
            self.dx.written()

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
