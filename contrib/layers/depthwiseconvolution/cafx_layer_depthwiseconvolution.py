"""DepthwiseConvolution: a convolution in groups, by its fork's name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx_layer_convolution import Convolution

if TYPE_CHECKING:
    from cafx.conformance import Case


class DepthwiseConvolution(Convolution):
    """Convolution in groups: y[n, m, o…] = b[m] + Σ_c,k W[m, c, k…] · x[n, c, (o·stride + k·dilation − pad)…].

    Bottoms: one or more of equal shape N…×C×spatial…, channels at ``axis``; all share the weights.
    Tops: N…×num_output×outputs…, outputs = (inputs + 2 pad − dilation (kernel − 1) − 1) / stride + 1.
    Parameters: W of shape num_output × C/group × kernel…, b of shape num_output.
    Gradients: dW = dy · columns(x)ᵀ, db = Σ dy, dx = col2im(Wᵀ · dy).

    It is depthwise where ``group`` equals the number of channels, as MobileNets state it. Without ``group``
    all channels are connected, which is what the shape of W says and the fork's CPU code computes; its GPU
    code reads such weights as if they were depthwise.

    Raises:
        CafxError: the window is incomplete, contradictory or larger than the padded image, channels are not
            divisible by group, or the bottoms' shapes differ.

    Source: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
    2017; the layer is from yonghenglh6/DepthwiseConvolution.

    Read by engines:
        window: `Window` with kernel, stride, pad and dilation per spatial axis.
        channel_axis: index of the channel axis of bottoms and tops.
    """

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One and two outputs per channel, groups of several channels and none; several bottoms."""
        from cafx.conformance import Case

        gaussian = {"type": "gaussian", "std": 0.5}
        fill = {"weight_filler": gaussian, "bias_filler": gaussian}
        pairs = {"kernel_h": 2, "kernel_w": 3, "stride_h": 2, "stride_w": 1, "pad_h": 0, "pad_w": 2}
        row = {"kernel_size": [3], "stride": [2], "dilation": [2], "bias_term": False}
        two = {"num_output": 2, "kernel_size": [3], "group": 2, "axis": -3, **fill}
        yield Case("depthwise", (2, 4, 5, 6), options={"num_output": 4, "group": 4, "kernel_size": [3], **fill})
        yield Case("blocks", (2, 16, 6, 5), options={"num_output": 16, "group": 16, "kernel_size": [3], "pad": [1]})
        yield Case("multiplied", (2, 3, 5, 4), options={"num_output": 6, "group": 3, **pairs, **fill})
        yield Case("groups", (2, 4, 5, 5), options={"num_output": 6, "group": 2, "kernel_size": [3], **fill})
        yield Case("dense", (2, 3, 5, 5), options={"num_output": 2, "kernel_size": [3], "engine": "CAFFE", **fill})
        yield Case("row", (2, 2, 9), options={"num_output": 2, "group": 2, "force_nd_im2col": True, **row, **fill})
        yield Case("two", (2, 2, 4, 4), (2, 2, 4, 4), tops=2, options=two)
        yield Case("no_space", (3, 4), options={"num_output": 4, "group": 4, **fill})
