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

    num_output: int = option(1, "uint32", doc="N, the number of outputs", check=above(0))
    bias_term: bool = option(2, "bool", True, doc="add a bias to each output")
    weight_filler: FillerParameter = option(3, FillerParameter, doc="how the weights start")
    bias_filler: FillerParameter = option(4, FillerParameter, doc="how the bias starts")
    axis: int = option(5, "int32", 1, doc="first of the axes that are flattened into the K inputs")
    transpose: bool = option(6, "bool", False, doc="keep the weights as K×N instead of N×K")


class InnerProduct(Layer):
    """Fully connected layer: Y = X Wᵀ + b, or X W + b with ``transpose``.

    Bottom: shape (d₀, …, d_axis, …); the axes before ``axis`` make M rows, the others K inputs.
    Top: shape (d₀, …, d_axis−1, N). Parameters: W of shape N×K (K×N if transposed), b of shape N.
    Gradients: dW = dYᵀ X, db = the sum of dY over its rows, dX = dY W.

    Raises:
        CafxError: no num_output, no such axis, or another number of inputs than at setup.

    Source: Caffe's layer catalogue.
    """

    Parameter = InnerProductParameter
    options: InnerProductParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Make W and, unless bias_term is off, b."""
        options = self.options
        if not options.num_output:
            raise self.error("num_output is missing", expected="inner_product_param { num_output: … }")
        inputs = bottom[0].count(self.axis(bottom[0], options.axis))
        shape = (inputs, options.num_output) if options.transpose else (options.num_output, inputs)
        self.add_parameter(shape, options.weight_filler)
        if options.bias_term:
            self.add_parameter((options.num_output,), options.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The flattened axes become one of length N."""
        axis = self.axis(bottom[0], self.options.axis)
        inputs = self.blobs[0].shape[0 if self.options.transpose else 1]
        if bottom[0].count(axis) != inputs:
            raise self.error("takes another number of inputs", found=bottom[0].count(axis), expected=inputs)
        top[0].reshape(*bottom[0].shape[:axis], self.options.num_output)
        self.rows = (math.prod(bottom[0].shape[:axis]), inputs)
        self.outputs = (self.rows[0], self.options.num_output)

    def multiply_adds(self, bottom: list[Blob]) -> int:
        """Every weight for each row."""
        return self.rows[0] * self.blobs[0].count_

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Y = X Wᵀ + b."""
        weights = self.blobs[0].data
        x, y = bottom[0].data.reshape(self.rows), top[0].mutable_data.reshape(self.outputs)
        self.xp.matmul(x, weights if self.options.transpose else weights.T, out=y)
        if self.options.bias_term:
            y += self.blobs[1].data

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dW += dYᵀ X, db += Σ dY, dX = dY W."""
        weights = self.blobs[0].data if self.options.transpose else self.blobs[0].data.T
        x, dy = bottom[0].data.reshape(self.rows), top[0].diff.reshape(self.outputs)
        if self.param_propagate_down[0]:
            self.blobs[0].mutable_diff[...] += x.T @ dy if self.options.transpose else dy.T @ x
        if self.options.bias_term and self.param_propagate_down[1]:
            self.blobs[1].mutable_diff[...] += dy.sum(axis=0)
        if propagate_down[0]:
            self.xp.matmul(dy, weights.T, out=bottom[0].mutable_diff.reshape(self.rows))

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Every option, from two axes to four, and a negative axis."""
        from cafx.conformance import Case

        drawn = {"type": "gaussian", "std": 0.5}
        fillers = {"weight_filler": drawn, "bias_filler": drawn}
        yield Case("plain", (4, 6), options={"num_output": 5, **fillers})
        yield Case("images", (3, 2, 4, 3), options={"num_output": 7, **fillers})
        yield Case("no_bias", (4, 6), options={"num_output": 2, "bias_term": False, "weight_filler": drawn})
        yield Case("transposed", (4, 6), options={"num_output": 5, "transpose": True, **fillers})
        yield Case("last_axis", (2, 3, 4), options={"num_output": 3, "axis": -1, **fillers})
