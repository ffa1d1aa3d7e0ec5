"""Convolution: learned filters slid over images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob
from cafx_layer_im2col import SlidingLayer

if TYPE_CHECKING:
    from cafx.conformance import Case


class Convolution(SlidingLayer):
    """Convolution: y[n, m, o…] = b[m] + Σ_c,k W[m, c, k…] · x[n, c, (o·stride + k·dilation − pad)…].

    Bottoms: any number of one shape N…×C×spatial…, with the channels at ``axis``; the same weights serve
    each. Tops: N…×num_output×outputs…, outputs = (inputs + 2 pad − dilation (kernel − 1) − 1) / stride + 1.
    Parameters: W of shape num_output × C/group × kernel…, b of shape num_output; with ``group`` each part
    of the outputs sees only its own part of the channels.
    Gradients: dW = Σ dy · (its window of x), db = Σ dy, dx = the weights spread by dy, added up.

    Raises:
        CafxError: a window that is not stated right or does not fit, channels that do not part into
            groups, bottoms of different shapes.

    Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998; as matrix
    product: Chellapilla et al., "High Performance Convolutional Neural Networks for Document
    Processing", 2006.
    """

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = W · columns(x) + b."""
        for x, y in zip(bottom, top, strict=True):
            made = y.mutable_data
            self.correlate(x.data, made)
            self.add_bias(made)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dW += dy · columns(x)ᵀ, db += Σ dy, dx = the columns Wᵀ · dy put back."""
        for x, y, wanted in zip(bottom, top, propagate_down, strict=True):
            self.add_gradients(x.data, y.diff, y.diff)
            if wanted:
                self.spread(y.diff, x.mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Each way to state a window, groups, one spatial axis to three, several bottoms."""
        from cafx.conformance import Case

        drawn = {"type": "gaussian", "std": 0.5}
        fill = {"weight_filler": drawn, "bias_filler": drawn}
        pairs = {"kernel_h": 2, "kernel_w": 3, "stride_h": 2, "stride_w": 1, "pad_h": 0, "pad_w": 2}
        cube = {"kernel_size": [2, 3, 1], "pad": [0, 1, 2], "stride": [1, 2, 1], "force_nd_im2col": True}
        yield Case("square", (2, 3, 5, 6), options={"num_output": 4, "kernel_size": [3], "pad": [1], **fill})
        yield Case("pairs", (3, 2, 5, 4), options={"num_output": 3, **pairs, "engine": "CAFFE", **fill})
        yield Case("groups", (2, 4, 5, 5), options={"num_output": 6, "group": 2, "kernel_size": [3], **fill})
        yield Case("depthwise", (2, 3, 5, 5), options={"num_output": 3, "group": 3, "kernel_size": [2], **fill})
        yield Case("pointwise", (3, 4, 3, 5), options={"num_output": 2, "group": 2, "kernel_size": [1], **fill})
        yield Case("row", (2, 2, 9), options={
            "num_output": 3, "kernel_size": [3], "stride": [2], "dilation": [2], "bias_term": False, **fill,
        })  # fmt: skip
        yield Case("cube", (1, 2, 4, 5, 3), options={"num_output": 2, **cube, **fill})
        yield Case("two", (2, 2, 4, 4), (2, 2, 4, 4), tops=2, options={
            "num_output": 2, "kernel_size": [3], "axis": -3, **fill,
        })  # fmt: skip
        yield Case("no_space", (3, 4), options={"num_output": 2, **fill})
