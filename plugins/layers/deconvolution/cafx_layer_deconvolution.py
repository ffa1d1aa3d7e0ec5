"""Deconvolution: transposed convolution, which upsamples images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob
from cafx.kernel.blob import shape_text
from cafx_lib_im2col import SlidingLayer

if TYPE_CHECKING:
    from cafx.conformance import Case


class Deconvolution(SlidingLayer):
    """Transposed convolution: y[n, m, o…] = b[m] + Σ W[c, m, k…] · x[n, c, i…], o = i·stride + k·dilation − pad.

    Bottoms: one or more of equal shape N…×C×spatial…, channels at ``axis``; all share the weights.
    Tops: N…×num_output×outputs…, outputs = stride (inputs − 1) + dilation (kernel − 1) + 1 − 2 pad.
    Parameters: W of shape C × num_output/group × kernel…, b of shape num_output; with ``group``, input and
    output channels are split into groups and connected only within them.
    Gradients: dW = x · columns(dy)ᵀ, db = Σ dy, dx = W · columns(dy).

    Raises:
        CafxError: the window is incomplete or contradictory, the padding leaves no output, channels are not
            divisible by group, or the bottoms' shapes differ.

    Source: Zeiler et al., "Deconvolutional Networks", 2010; Long, Shelhamer and Darrell, "Fully
    Convolutional Networks for Semantic Segmentation", 2015.

    Read by engines:
        window: `Window` with kernel, stride, pad and dilation per spatial axis.
        channel_axis: index of the channel axis of bottoms and tops.
    """

    transposed = True

    def top_sizes(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """Size of the image over which the window has the bottom's positions."""
        outputs = self.window.inputs(sizes)
        if min(outputs, default=1) < 1:
            raise self.error(
                "the padding leaves no output",
                found=f"bottom {shape_text(sizes)}, pad {shape_text(self.window.pad)}",
                expected="stride (input - 1) + dilation (kernel - 1) + 1 larger than 2 pad",
            )
        return outputs

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = col2im(Wᵀ · x) + b."""
        for x, y in zip(bottom, top, strict=True):
            result = y.mutable_data
            self.spread(x.data, result)
            self.add_bias(result)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dW += x · columns(dy)ᵀ, db += Σ dy, dx = W · columns(dy)."""
        for x, y, needed in zip(bottom, top, propagate_down, strict=True):
            self.add_gradients(y.diff, x.data, y.diff)
            if needed:
                self.correlate(y.diff, x.mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both forms of the window options, groups, one to three spatial axes, several bottoms."""
        from cafx.conformance import Case

        gaussian = {"type": "gaussian", "std": 0.5}
        fill = {"weight_filler": gaussian, "bias_filler": gaussian}
        pairs = {"kernel_h": 2, "kernel_w": 3, "stride_h": 3, "stride_w": 1, "pad_h": 0, "pad_w": 2}
        cube = {"kernel_size": [2, 3, 1], "pad": [0, 1, 0], "stride": [1, 2, 2], "force_nd_im2col": True}
        yield Case("square", (2, 3, 3, 4), options={"num_output": 4, "kernel_size": [3], "pad": [1], **fill})
        yield Case("pairs", (3, 2, 2, 4), options={"num_output": 3, **pairs, "engine": "CAFFE", **fill})
        yield Case("groups", (2, 4, 3, 3), options={"num_output": 6, "group": 2, "kernel_size": [3], **fill})
        yield Case("depthwise", (2, 3, 3, 2), options={"num_output": 3, "group": 3, "kernel_size": [2], **fill})
        yield Case("pointwise", (3, 4, 3, 5), options={"num_output": 2, "group": 2, "kernel_size": [1], **fill})
        dilated = {"kernel_size": [3], "stride": [2], "dilation": [2]}
        yield Case("row", (2, 2, 4), options={"num_output": 3, "bias_term": False, **dilated, **fill})
        yield Case("cube", (1, 2, 2, 3, 2), options={"num_output": 2, **cube, **fill})
        two = {"num_output": 2, "kernel_size": [2], "axis": -3, **fill}
        yield Case("two", (2, 2, 3, 3), (2, 2, 3, 3), tops=2, options=two)
