"""Convolution: learned filters over any number of spatial axes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob
from cafx_lib_im2col import SlidingLayer

if TYPE_CHECKING:
    from cafx.conformance import Case


class Convolution(SlidingLayer):
    """Convolution: y[n, m, o…] = b[m] + Σ_c,k W[m, c, k…] · x[n, c, (o·stride + k·dilation − pad)…].

    Bottoms: one or more of equal shape N…×C×spatial…, channels at ``axis``; all share the weights.
    Tops: N…×num_output×outputs…, outputs = (inputs + 2 pad − dilation (kernel − 1) − 1) / stride + 1.
    Parameters: W of shape num_output × C/group × kernel…, b of shape num_output; with ``group``, input and
    output channels are split into groups and connected only within them.
    Gradients: dW = dy · columns(x)ᵀ, db = Σ dy, dx = col2im(Wᵀ · dy).

    Raises:
        CafxError: the window is incomplete, contradictory or larger than the padded image, channels are not
            divisible by group, or the bottoms' shapes differ.

    Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998; as matrix
    product: Chellapilla et al., "High Performance Convolutional Neural Networks for Document
    Processing", 2006.

    Read by engines:
        window: `Window` with kernel, stride, pad and dilation per spatial axis.
        channel_axis: index of the channel axis of bottoms and tops.
    """

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = W · columns(x) + b."""
        for x, y in zip(bottom, top, strict=True):
            result = y.mutable_data
            self.correlate(x.data, result)
            self.add_bias(result)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dW += dy · columns(x)ᵀ, db += Σ dy, dx = col2im(Wᵀ · dy)."""
        for x, y, needed in zip(bottom, top, propagate_down, strict=True):
            self.add_gradients(x.data, y.diff, y.diff)
            if needed:
                self.spread(y.diff, x.mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both forms of the window options, groups, zero to three spatial axes, several bottoms."""
        from cafx.conformance import Case

        gaussian = {"type": "gaussian", "std": 0.5}
        fill = {"weight_filler": gaussian, "bias_filler": gaussian}
        pairs = {"kernel_h": 2, "kernel_w": 3, "stride_h": 2, "stride_w": 1, "pad_h": 0, "pad_w": 2}
        cube = {"kernel_size": [2, 3, 1], "pad": [0, 1, 2], "stride": [1, 2, 1], "force_nd_im2col": True}
        yield Case("square", (2, 3, 5, 6), options={"num_output": 4, "kernel_size": [3], "pad": [1], **fill})
        yield Case("pairs", (3, 2, 5, 4), options={"num_output": 3, **pairs, "engine": "CAFFE", **fill})
        yield Case("groups", (2, 4, 5, 5), options={"num_output": 6, "group": 2, "kernel_size": [3], **fill})
        yield Case("depthwise", (2, 3, 5, 5), options={"num_output": 3, "group": 3, "kernel_size": [2], **fill})
        yield Case("pointwise", (3, 4, 3, 5), options={"num_output": 2, "group": 2, "kernel_size": [1], **fill})
        dilated = {"kernel_size": [3], "stride": [2], "dilation": [2]}
        yield Case("row", (2, 2, 9), options={"num_output": 3, "bias_term": False, **dilated, **fill})
        yield Case("cube", (1, 2, 4, 5, 3), options={"num_output": 2, **cube, **fill})
        two = {"num_output": 2, "kernel_size": [3], "axis": -3, **fill}
        yield Case("two", (2, 2, 4, 4), (2, 2, 4, 4), tops=2, options=two)
        yield Case("no_space", (3, 4), options={"num_output": 2, **fill})
