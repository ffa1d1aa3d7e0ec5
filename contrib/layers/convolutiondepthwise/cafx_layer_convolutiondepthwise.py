"""ConvolutionDepthwise: each channel convolved on its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob
from cafx_layer_convolution import Convolution
from cafx_lib_im2col import ConvolutionParameter

if TYPE_CHECKING:
    from cafx.conformance import Case


class ConvolutionDepthwise(Convolution):
    """Depthwise convolution: y[n, c, o…] = b[c] + Σ_k W[c, 0, k…] · x[n, c, (o·stride + k·dilation − pad)…].

    Bottom: shape N…×C×spatial…, channels at ``axis``.
    Top: N…×C×outputs…, outputs = (inputs + 2 pad − dilation (kernel − 1) − 1) / stride + 1.
    Parameters: W of shape C × 1 × kernel…, b of shape C. The options ``num_output`` and ``group`` are not
    looked at: both are C.
    Gradients: dW = dy · columns(x)ᵀ, db = Σ dy, dx = col2im(Wᵀ · dy).

    Raises:
        CafxError: the window is incomplete, contradictory or larger than the padded image.

    Source: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
    2017; the layer is from jolibrain/caffe, where stride and pad have to be stated.

    Read by engines:
        window: `Window` with kernel, stride, pad and dilation per spatial axis.
        channel_axis: index of the channel axis of bottoms and tops.
    """

    bottoms = 1
    tops = 1

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """One group and one output per channel."""
        channels = bottom[0].shape[self.axis(bottom[0], self.options.axis)]
        if not channels:
            raise self.error("the bottom has no channels", expected="at least one")
        given = {name: getattr(self.options, name) for name in self.options.__options__ if self.options.has(name)}
        self.options = ConvolutionParameter(**given | {"num_output": channels, "group": channels})
        super().setup(bottom, top)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both forms of the window options; one to three spatial axes; options without effect."""
        from cafx.conformance import Case

        gaussian = {"type": "gaussian", "std": 0.5}
        fill = {"weight_filler": gaussian, "bias_filler": gaussian}
        pairs = {"kernel_h": 2, "kernel_w": 3, "stride_h": 2, "stride_w": 1, "pad_h": 0, "pad_w": 2}
        row = {"kernel_size": [3], "stride": [2], "dilation": [2], "bias_term": False}
        yield Case("square", (2, 4, 5, 6), options={"kernel_size": [3], "pad": [1], "stride": [1], **fill})
        yield Case("blocks", (2, 16, 6, 5), options={"kernel_size": [3], "pad": [1]})
        yield Case("ignored", (2, 3, 5, 4), options={"num_output": 7, "group": 2, "engine": "CAFFE", **pairs, **fill})
        yield Case("row", (2, 2, 9), options={"force_nd_im2col": True, **row, **fill})
        yield Case("cube", (1, 2, 4, 3, 3), options={"kernel_size": [2], "axis": -4, **fill})
        yield Case("no_space", (3, 4), options=fill)
