"""InnerProduct: the fully connected layer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, FillerParameter, Layer, Message, above, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("inner_product_param", 117)
class InnerProductParameter(Message):
    """Options of InnerProduct."""

    num_output: int = option(1, "uint32", doc="N, number of outputs", check=above(0))
    bias_term: bool = option(2, "bool", True, doc="add a bias to each output")
    weight_filler: FillerParameter = option(3, FillerParameter, doc="weight initialiser")
    bias_filler: FillerParameter = option(4, FillerParameter, doc="bias initialiser")
    axis: int = option(5, "int32", 1, doc="first axis flattened into the K inputs; negative from the end")
    transpose: bool = option(6, "bool", False, doc="store the weights as K×N instead of N×K")


class InnerProduct(Layer):
    """Fully connected layer: Y = X Wᵀ + b, or X W + b with ``transpose``.

    Bottom: shape (d₀, …, d_axis, …), viewed as X, M×K: the axes before ``axis`` are the M rows, the others
    the K inputs. Top: shape (d₀, …, d_axis−1, N). Parameters: W of shape N×K (K×N with ``transpose``),
    b of shape N. Gradients: dW = dYᵀ X, db = Σ dY over the rows, dX = dY W.

    Raises:
        CafxError: num_output is missing, the axis does not exist, or the number of inputs has changed
            since setup.

    Source: Caffe's layer catalogue.

    Read by engines:
        input_shape: shape (M, K) of the bottom as a matrix.
        output_shape: shape (M, N) of the top as a matrix.
    """

    Parameter = InnerProductParameter
    options: InnerProductParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create W and, with bias_term, b."""
        options = self.options
        if not options.num_output:
            raise self.error("num_output is missing", expected="inner_product_param { num_output: … }")
        inputs = bottom[0].count(self.axis(bottom[0], options.axis))
        shape = (inputs, options.num_output) if options.transpose else (options.num_output, inputs)
        self.add_parameter(shape, options.weight_filler)
        if options.bias_term:
            self.add_parameter((options.num_output,), options.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The flattened axes become one axis of length N."""
        axis = self.axis(bottom[0], self.options.axis)
        inputs = self.blobs[0].shape[0 if self.options.transpose else 1]
        if bottom[0].count(axis) != inputs:
            raise self.error("wrong number of inputs", found=bottom[0].count(axis), expected=inputs)
        top[0].reshape(*bottom[0].shape[:axis], self.options.num_output)
        rows = math.prod(bottom[0].shape[:axis])
        self.input_shape, self.output_shape = (rows, inputs), (rows, self.options.num_output)

    def multiply_adds(self, bottom: list[Blob]) -> int:
        """One per weight and row."""
        return self.input_shape[0] * self.blobs[0].count_

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Y = X Wᵀ + b."""
        weights = self.blobs[0].data
        x, y = bottom[0].data.reshape(self.input_shape), top[0].mutable_data.reshape(self.output_shape)
        self.xp.matmul(x, weights if self.options.transpose else weights.T, out=y)
        if self.options.bias_term:
            y += self.blobs[1].data

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dW += dYᵀ X, db += Σ dY, dX = dY W."""
        weights = self.blobs[0].data if self.options.transpose else self.blobs[0].data.T
        x, dy = bottom[0].data.reshape(self.input_shape), top[0].diff.reshape(self.output_shape)
        if self.param_propagate_down[0]:
            left, right = (x, dy) if self.options.transpose else (dy, x)
            self.blobs[0].mutable_diff[...] += self.xp.matmul(left.T, right)
        if self.options.bias_term and self.param_propagate_down[1]:
            self.blobs[1].mutable_diff[...] += dy.sum(axis=0)
        if propagate_down[0]:
            self.xp.matmul(dy, weights.T, out=bottom[0].mutable_diff.reshape(self.input_shape))

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Every option; two to four axes; a negative axis."""
        from cafx.conformance import Case

        gaussian = {"type": "gaussian", "std": 0.5}
        fillers = {"weight_filler": gaussian, "bias_filler": gaussian}
        yield Case("plain", (4, 6), options={"num_output": 5, **fillers})
        yield Case("images", (3, 2, 4, 3), options={"num_output": 7, **fillers})
        yield Case("no_bias", (4, 6), options={"num_output": 2, "bias_term": False, "weight_filler": gaussian})
        yield Case("transposed", (4, 6), options={"num_output": 5, "transpose": True, **fillers})
        yield Case("last_axis", (2, 3, 4), options={"num_output": 3, "axis": -1, **fillers})
