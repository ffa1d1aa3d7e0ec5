"""Deconvolution by the products of the convolution it transposes, with bias and ReLU."""

from __future__ import annotations

from typing import Any

import numpy as np

from cafx_engine_cudnn.problems import DATA, FILTERS, FORWARD, IMAGE, RESULT, WEIGHTS, Problem, Tensor
from cafx_engine_cudnn.products import Product
from cafx_engine_cudnn.routine import ParameterGradient
from cafx_engine_cudnn.routines.convolution import Convolution


class Deconvolution(Convolution):
    """y = relu(Wᵀ * x + b) in two dimensions, and its gradients.

    There is a convolution from y's shape to x's with the same filters: forward is that convolution's
    image gradient, backward its forward product, and the filters' gradient is the same with y's gradient
    as the image. No columns are formed.
    """

    def _choose_places(self) -> None:
        layer, precision = self.layer, self.precision
        filters = layer.blobs[0]
        inputs, outputs, rows, columns = filters.shape
        padded = (precision.padded(inputs), precision.padded(outputs)) if self.groups == 1 else (inputs, outputs)
        self.stride, self.pad, self.dilation = layer.window.stride, layer.window.pad, layer.window.dilation
        self.folded = False
        place = self.build.packed(filters.shape, (0, 2, 3, 1), (padded[0], rows, columns, padded[1]))
        self.take_weights(place)
        self.x = self.data(self.bottoms[0])
        self.take_bias()

    def _needed_products(self) -> list[str]:
        """The products of its passes: what is forward for the convolution is backward here."""
        backward = [WEIGHTS] if self.layer.param_propagate_down[0] else []
        backward += [FORWARD] if self.propagate_down[0] else []
        return [DATA, *(backward if self.training else [])]

    def _problem(self, kind: str, *, bias: bool = False, relu: bool = False) -> Problem:
        """A product of the convolution whose image is y, and whose result is x."""
        inputs, rows, columns, outputs = self.w.place.padded  # type: ignore[attr-defined]
        filters = Tensor((inputs, outputs, rows, columns), outputs, self.precision.bf16)
        image, result = self._tensor(self.y), self._tensor(self.x)
        return Problem(kind, image, filters, result, self.stride, self.pad, self.dilation)

    def _product(self, kind: str) -> Product:
        """The product of one kind."""
        if kind not in self._products:
            self._products[kind] = Product(self.build, self._problem(kind), self.groups)
        return self._products[kind]

    def forward(self) -> None:
        """Write the result."""
        x, y = self.x.read(), self.y.target()
        self._product(DATA)({IMAGE: y.data.ptr, FILTERS: self.multiplied_weights().data.ptr, RESULT: x.data.ptr})
        if self.b is not None or self.fusion.slope is not None:
            self._bias_rectify(y, None if self.b is None else self.b.read(), self.fusion.slope)
        self.y.written()

    def backward(self) -> None:
        """Write the bottom's gradient; add to those of filters and bias."""
        dy = self.product_gradient()
        if self.layer.param_propagate_down[0]:
            ParameterGradient(self.dw)(lambda target, add: self._add_filters_gradient(dy, target, add))
        if self.propagate_down[0]:
            filters = self.weights_of_forward()
            dx = self.dx.target()
            self._product(FORWARD)({IMAGE: dy.data.ptr, FILTERS: filters.data.ptr, RESULT: dx.data.ptr})
            self.dx.written()

    def _add_filters_gradient(self, dy: Any, target: Any, add: bool) -> None:
        direct = not add and not self.precision.bf16
        result = target if direct else self.build.scratch("filters", target.size, self.precision.value)
        addresses = {IMAGE: dy.data.ptr, FILTERS: result.data.ptr, RESULT: self.x.read().data.ptr}
        self._product(WEIGHTS)(addresses)
        if not direct:
            numbers = np.int64(target.size), np.int32(add)
            self.launch("layout.cu", "widen", target.size, result, target, *numbers)
