"""Im2col: image windows as columns."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer
from cafx.kernel.blob import shape_text
from cafx_lib_im2col import ConvolutionParameter, checked_outputs, col2im, im2col, read_window

if TYPE_CHECKING:
    from cafx.conformance import Case


class Im2col(Layer):
    """Image windows as columns: y[n, (c, k…), o…] = x[n, c, (o·stride + k·dilation − pad)…].

    Bottom: shape N…×C×spatial…, channels at ``axis``. Top: N…×(C·Π kernel)×outputs….
    Gradient: each dx is the sum of the dy at the copies of x.

    Raises:
        CafxError: the bottom has no spatial axis, or the window is incomplete, contradictory or larger
            than the padded image.

    Source: Caffe's layer catalogue.
    """

    Parameter = ConvolutionParameter
    options: ConvolutionParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the window."""
        self.first = self.axis(bottom[0], self.options.axis) + 1
        axes = bottom[0].num_axes - self.first
        if axes < 1:
            found, expected = shape_text(bottom[0].shape), f"more than {self.first} axes"
            raise self.error("the bottom has no spatial axis", found=found, expected=expected)
        self.window = read_window(self, axes)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has C · Π kernel channels and the window's output positions as spatial axes."""
        shape, first, kernel = bottom[0].shape, self.first, self.window.kernel
        if len(shape) != first + len(kernel):
            raise self.error("wrong number of axes", found=len(shape), expected=first + len(kernel))
        outputs = checked_outputs(self, self.window, shape[first:])
        top[0].reshape(*shape[: first - 1], shape[first - 1] * math.prod(kernel), *outputs)
        batch = math.prod(shape[: first - 1])
        self.images = (batch, *shape[first - 1 :])
        self.columns = (batch, shape[first - 1], *kernel, *outputs)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy each window into its column."""
        im2col(bottom[0].data.reshape(self.images), top[0].mutable_data.reshape(self.columns), self.window)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add the gradients of each value's copies."""
        if propagate_down[0]:
            dx = bottom[0].mutable_diff.reshape(self.images)
            col2im(top[0].diff.reshape(self.columns), dx, self.window)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both forms of the window options; one to three spatial axes."""
        from cafx.conformance import Case

        unused = {"num_output": 3, "bias_term": False, "group": 3, "weight_filler": {}, "bias_filler": {}}
        pairs = {"kernel_h": 2, "kernel_w": 3, "stride_h": 2, "stride_w": 1, "pad_h": 0, "pad_w": 2}
        yield Case("square", (2, 3, 5, 6), options={"kernel_size": [3], "pad": [1]})
        yield Case("pairs", (2, 2, 5, 4), options={**pairs, "engine": "CAFFE", **unused})
        yield Case("row", (2, 2, 9), options={"kernel_size": [3], "stride": [2], "dilation": [2]})
        cube = {"kernel_size": [2, 3, 1], "pad": [0, 1, 2], "stride": [1, 2, 1], "force_nd_im2col": True}
        yield Case("cube", (1, 2, 4, 5, 3), options=cube)
        yield Case("late_channels", (2, 3, 2, 4, 4), options={"kernel_size": [2], "axis": -3})
