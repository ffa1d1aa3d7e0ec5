"""Deconvolution: the transpose of a convolution, for making images larger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob
from cafx.kernel.blob import shape_text
from cafx_layer_im2col import SlidingLayer

if TYPE_CHECKING:
    from cafx.conformance import Case


class Deconvolution(SlidingLayer):
    """Transposed convolution: x[n, c, i…] · W[c, m, k…] is added to y[n, m, (i·stride + k·dilation − pad)…].

    Bottoms: any number of one shape N…×C×spatial…, with the channels at ``axis``; the same weights serve
    each. Tops: N…×num_output×outputs…, outputs = stride (inputs − 1) + dilation (kernel − 1) + 1 − 2 pad;
    b[m] is added everywhere. Parameters: W of shape C × num_output/group × kernel…, b of shape num_output;
    with ``group`` each part of the outputs sees only its own part of the channels.
    Gradients: dW = Σ x · (its window of dy), db = Σ dy, dx = the convolution of dy with W.

    Raises:
        CafxError: a window that is not stated right or leaves nothing, channels that do not part into
            groups, bottoms of different shapes.

    Source: Zeiler et al., "Deconvolutional Networks", 2010; Long, Shelhamer and Darrell, "Fully
    Convolutional Networks for Semantic Segmentation", 2015.
    """

    transposed = True

    def top_sizes(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """The images whose windows have the bottom's positions."""
        made = self.window.inputs(sizes)
        if min(made, default=1) < 1:
            raise self.error(
                "pad leaves nothing of the top", found=f"bottom {shape_text(sizes)}, pad {self.window.pad}",
                expected="stride (input - 1) + dilation (kernel - 1) + 1 larger than 2 pad",
            )  # fmt: skip
        return made

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = the columns Wᵀ · x put into place, plus b."""
        for x, y in zip(bottom, top, strict=True):
            made = y.mutable_data
            self.spread(x.data, made)
            self.add_bias(made)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dW += x · columns(dy)ᵀ, db += Σ dy, dx = W · columns(dy)."""
        for x, y, wanted in zip(bottom, top, propagate_down, strict=True):
            self.add_gradients(y.diff, x.data, y.diff)
            if wanted:
                self.correlate(y.diff, x.mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Each way to state a window, groups, one spatial axis to three, several bottoms."""
        from cafx.conformance import Case

        drawn = {"type": "gaussian", "std": 0.5}
        fill = {"weight_filler": drawn, "bias_filler": drawn}
        pairs = {"kernel_h": 2, "kernel_w": 3, "stride_h": 3, "stride_w": 1, "pad_h": 0, "pad_w": 2}
        cube = {"kernel_size": [2, 3, 1], "pad": [0, 1, 0], "stride": [1, 2, 2], "force_nd_im2col": True}
        yield Case("square", (2, 3, 3, 4), options={"num_output": 4, "kernel_size": [3], "pad": [1], **fill})
        yield Case("pairs", (3, 2, 2, 4), options={"num_output": 3, **pairs, "engine": "CAFFE", **fill})
        yield Case("groups", (2, 4, 3, 3), options={"num_output": 6, "group": 2, "kernel_size": [3], **fill})
        yield Case("depthwise", (2, 3, 3, 2), options={"num_output": 3, "group": 3, "kernel_size": [2], **fill})
        yield Case("pointwise", (3, 4, 3, 5), options={"num_output": 2, "group": 2, "kernel_size": [1], **fill})
        yield Case("row", (2, 2, 4), options={
            "num_output": 3, "kernel_size": [3], "stride": [2], "dilation": [2], "bias_term": False, **fill,
        })  # fmt: skip
        yield Case("cube", (1, 2, 2, 3, 2), options={"num_output": 2, **cube, **fill})
        yield Case("two", (2, 2, 3, 3), (2, 2, 3, 3), tops=2, options={
            "num_output": 2, "kernel_size": [2], "axis": -3, **fill,
        })  # fmt: skip
