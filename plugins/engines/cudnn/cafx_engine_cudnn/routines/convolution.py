"""Convolution by cuDNN, with bias and ReLU."""

from __future__ import annotations

from typing import Any

import numpy as np

from cafx.kernel import Unsupported
from cafx_engine_cudnn.operands import Operand
from cafx_engine_cudnn.places import FoldedFilters, SpaceToDepth
from cafx_engine_cudnn.problems import BIAS, DATA, FILTERS, FORWARD, IMAGE, RESULT, WEIGHTS, Problem, Tensor
from cafx_engine_cudnn.products import Product, pointwise_milliseconds
from cafx_engine_cudnn.routine import ParameterGradient
from cafx_engine_cudnn.routines.folding import Folding
from cafx_engine_cudnn.routines.weighted import Weighted

FEW_CHANNELS = 8
"""Channels of an image up to which a strided convolution rearranges it."""


class Convolution(Weighted):
    """y = relu(W * x + b) in two dimensions, and its gradients; a normalisation by running statistics behind it.

    Image, filters and result are channels-last. A strided convolution of the net's input reads it
    rearranged, the stride's pixels in the channels: tensor cores have little to do with three channels.
    """

    def choose(self) -> None:
        """Only two dimensions and one bottom; groups of whole accesses."""
        layer = self.layer
        if len(self.bottoms) != 1:
            raise Unsupported("several bottoms")
        if len(layer.window.kernel) != 2 or layer.channel_axis != 1:
            raise Unsupported("not two-dimensional")
        self.groups: int = layer.options.group
        channels, outputs = self.bottoms[0].shape[1], self.tops[0].shape[1]
        if self.groups > 1 and (channels % self.precision.vector or outputs % self.precision.vector):
            raise Unsupported(f"groups need multiples of {self.precision.vector} channels")
        self._choose_places()
        self.y = self.data(self.tops[0])
        self.dy = self.diff(self.tops[0])
        self.dx = self.diff(self.bottoms[0])
        self._products: dict[str, Product] = {}
        self._epilogue_fused = False
        self._mask: Any = None
        self._folding: Folding | None = None
        if self.fusion.batch_norm is not None:
            place: Any = self.w.place
            norm, scale = self.fusion.batch_norm, self.fusion.scale
            self._folding = Folding(self, norm, scale, place.padded[0], place.size)
        self._has_bias = self.b is not None or self._folding is not None
        for kind in self._needed_products():
            self._product(kind)
        self.announce_places()

    def _needed_products(self) -> list[str]:
        """The products of its passes, which are chosen before it takes the layer on."""
        backward = [WEIGHTS] if self.layer.param_propagate_down[0] else []
        backward += [DATA] if self.propagate_down[0] else []
        return [FORWARD, *(backward if self.training else [])]

    def _choose_places(self) -> None:
        layer, precision = self.layer, self.precision
        filters = layer.blobs[0]
        outputs, channels, rows, columns = filters.shape
        padded = (precision.padded(outputs), precision.padded(channels)) if self.groups == 1 else (outputs, channels)
        self.stride, self.pad, self.dilation = layer.window.stride, layer.window.pad, layer.window.dilation
        self.folded = self._folds()
        if self.folded:
            self._fold_places(filters.shape)
        else:
            place = self.build.packed(filters.shape, (0, 2, 3, 1), (padded[0], rows, columns, padded[1]))
            self.take_weights(place)
            self.x = self.data(self.bottoms[0])
        self.take_bias()

    def _folds(self) -> bool:
        """Whether the image is rearranged."""
        strided = max(self.stride) > 1 and set(self.dilation) == {1} and self.groups == 1
        return strided and not self.propagate_down[0] and self.bottoms[0].shape[1] <= FEW_CHANNELS

    def _fold_places(self, shape: tuple[int, ...]) -> None:
        """Places of image and filters, rearranged for the stride."""
        outputs, _, rows, columns = shape
        side = self.stride
        kernel = -(-rows // side[0]), -(-columns // side[1])
        height, width = self.tops[0].shape[2:]
        size = height + kernel[0] - 1, width + kernel[1] - 1
        image = self.bottoms[0].shape
        key = "folded", image, side, self.pad, size
        place = self.build.place(key, lambda: SpaceToDepth(self.precision, image, side, self.pad, size))
        padded = self.precision.padded(outputs), place.extent.padded
        key = "folded filters", shape, side, kernel, padded
        packed = self.build.place(key, lambda: FoldedFilters(self.precision, shape, side, kernel, padded))  # type: ignore[arg-type]
        self.x = self.operand(self.bottoms[0].synced_data, place)
        self.take_weights(packed)
        self.stride, self.pad = (1, 1), (0, 0)

    @property
    def nbytes(self) -> int:
        """The copy of the filters that products read."""
        return super().nbytes if self._folding is None else self._folding.nbytes

    def release(self) -> None:
        """Let go of memory."""
        super().release()
        if self._folding is not None:
            self._folding.release()

    # -- problems

    def _tensor(self, operand: Operand) -> Tensor:
        extent = operand.place.extent  # type: ignore[attr-defined]
        return Tensor(extent.dims, extent.padded, self.precision.bf16)

    def _problem(self, kind: str, *, bias: bool = False, relu: bool = False) -> Problem:
        outputs, rows, columns, channels = self.w.place.padded  # type: ignore[attr-defined]
        filters = Tensor((outputs, channels, rows, columns), channels, self.precision.bf16)
        image, result = self._tensor(self.x), self._tensor(self.y)
        return Problem(kind, image, filters, result, self.stride, self.pad, self.dilation, bias, relu)

    def _product(self, kind: str) -> Product:
        """The product of one kind."""
        if kind not in self._products:
            self._products[kind] = Product(self.build, self._problem(kind), self.groups)
            if kind == FORWARD and (self._has_bias or self.fusion.slope == 0.0):
                self._products[kind] = self._with_epilogue(self._products[kind])
        return self._products[kind]

    def _with_epilogue(self, plain: Product) -> Product:
        """The product that adds the bias and rectifies, if that is faster than a kernel behind it."""
        if self.fusion.slope not in (None, 0.0):
            return plain
        problem = self._problem(FORWARD, bias=self._has_bias, relu=self.fusion.slope == 0.0)
        try:
            fused = Product(self.build, problem, self.groups)
        except Unsupported:
            return plain
        behind = pointwise_milliseconds(2 * problem.result.nbytes)
        self._epilogue_fused = fused.milliseconds <= plain.milliseconds + behind
        return fused if self._epilogue_fused else plain

    # -- passes

    def forward(self) -> None:
        """Write the result."""
        addresses = {IMAGE: self.x.read().data.ptr, FILTERS: self.multiplied_weights().data.ptr}
        y = self.y.target()
        product = self._product(FORWARD)
        bias = self._bias()
        if self._epilogue_fused and bias is not None:
            addresses[BIAS] = bias.data.ptr
        product({**addresses, RESULT: y.data.ptr})
        slope = self.fusion.slope
        if not self._epilogue_fused and (bias is not None or slope is not None):
            self._bias_rectify(y, bias, slope)
        self.y.written()

    def _bias_rectify(self, y: Any, bias: Any, slope: float | None) -> None:
        extent, packs = self.y.place.extent, self.packs(self.tops[0])  # type: ignore[attr-defined]
        numbers = np.int64(extent.rows), np.int32(extent.padded // self.precision.vector)
        rectified = np.int32(slope is not None), np.float32(slope or 0.0)
        self.launch("pointwise.cu", "bias_rectify", packs, y, bias, *numbers, *rectified)

    def multiplied_weights(self) -> Any:
        """The filters as products read them, as they are now."""
        return super().multiplied_weights() if self._folding is None else self._folding.filters(self.w.read())

    def _bias(self) -> Any:
        """The bias to add, as it is now; None without one. The filters have been read before."""
        bias = None if self.b is None else self.b.read()
        return bias if self._folding is None else self._folding.bias(bias)

    def backward(self) -> None:
        """Write the image's gradient; add to those of filters and bias."""
        dy = self.product_gradient()
        if self.layer.param_propagate_down[0]:
            ParameterGradient(self.dw)(lambda target, add: self._add_filters_gradient(dy, target, add))
        if self.propagate_down[0]:
            filters = self.weights_of_forward()
            dx = self.dx.target()
            addresses = {IMAGE: dx.data.ptr, FILTERS: filters.data.ptr, RESULT: dy.data.ptr}
            self._product(DATA)(addresses)
            self.dx.written()

    def _add_filters_gradient(self, dy: Any, target: Any, add: bool) -> None:
        direct = not add and not self.precision.bf16
        result = target if direct else self.build.scratch("filters", target.size, self.precision.value)
        addresses = {IMAGE: self.x.read().data.ptr, FILTERS: result.data.ptr, RESULT: dy.data.ptr}
        self._product(WEIGHTS)(addresses)
        count = np.int64(target.size)
        if not direct:
            self.launch("layout.cu", "widen", target.size, result, target, count, np.int32(add))
        if self.folded:
            self.launch("layout.cu", "mask", target.size, target, self._filter_mask(), count)

    def _filter_mask(self) -> Any:
        """1 for the filters' values, 0 for what is beyond their last rows and columns."""
        if self._mask is None:
            place = self.w.place
            assert isinstance(place, FoldedFilters)
            ones = np.ones(self.layer.blobs[0].count_, np.float32)
            self._mask = self.session.cupy.asarray(place.pack(ones))
        return self._mask
