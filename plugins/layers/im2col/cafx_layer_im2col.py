"""Im2col: an image's windows as columns."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer
from cafx.kernel.blob import shape_text
from cafx_layer_im2col.options import ConvolutionParameter, positions, read_window
from cafx_layer_im2col.window import col2im, im2col

if TYPE_CHECKING:
    from cafx.conformance import Case


class Im2col(Layer):
    """The image's windows as columns: y[n, (c, k…), o…] = x[n, c, (o·stride + k·dilation − pad)…].

    Bottom: shape N…×C×spatial…, with the channels at ``axis``. Top: N…×(C·Π kernel)×outputs….
    Gradient: each dx is the sum of the dy that stand for it.

    Raises:
        CafxError: no spatial axis, a window that is not stated right, or one that does not fit.

    Source: Caffe's layer catalogue.
    """

    Parameter = ConvolutionParameter
    options: ConvolutionParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the window."""
        self.first = self.axis(bottom[0], self.options.axis) + 1
        axes = bottom[0].num_axes - self.first
        if axes < 1:
            raise self.error(
                "the bottom has no spatial axis",
                found=shape_text(bottom[0].shape), expected=f"more than {self.first} axes",
            )  # fmt: skip
        self.window = read_window(self, axes)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Channels become channels times window, images the window's positions."""
        shape, first, kernel = bottom[0].shape, self.first, self.window.kernel
        if len(shape) != first + len(kernel):
            raise self.error("another number of axes", found=len(shape), expected=first + len(kernel))
        outputs = positions(self, self.window, shape[first:])
        top[0].reshape(*shape[: first - 1], shape[first - 1] * math.prod(kernel), *outputs)
        batch = math.prod(shape[: first - 1])
        self.images = (batch, *shape[first - 1 :])
        self.columns = (batch, shape[first - 1], *kernel, *outputs)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy each window's values into its column."""
        im2col(bottom[0].data.reshape(self.images), top[0].mutable_data.reshape(self.columns), self.window)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add each column's gradient to where its values came from."""
        if propagate_down[0]:
            dx = bottom[0].mutable_diff.reshape(self.images)
            col2im(top[0].diff.reshape(self.columns), dx, self.window)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Each way to state a window, one spatial axis to three."""
        from cafx.conformance import Case

        unused = {"num_output": 3, "bias_term": False, "group": 3, "weight_filler": {}, "bias_filler": {}}
        pairs = {"kernel_h": 2, "kernel_w": 3, "stride_h": 2, "stride_w": 1, "pad_h": 0, "pad_w": 2}
        yield Case("square", (2, 3, 5, 6), options={"kernel_size": [3], "pad": [1]})
        yield Case("pairs", (2, 2, 5, 4), options={**pairs, "engine": "CAFFE", **unused})
        yield Case("row", (2, 2, 9), options={"kernel_size": [3], "stride": [2], "dilation": [2]})
        cube = {"kernel_size": [2, 3, 1], "pad": [0, 1, 2], "stride": [1, 2, 1], "force_nd_im2col": True}
        yield Case("cube", (1, 2, 4, 5, 3), options=cube)
        yield Case("late_channels", (2, 3, 2, 4, 4), options={"kernel_size": [2], "axis": -3})
