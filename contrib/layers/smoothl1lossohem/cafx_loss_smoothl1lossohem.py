"""SmoothL1LossOHEM: smooth L1 loss, also per position, for mining of hard examples."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, LossParameter
from cafx_lib_labelled import Normaliser
from cafx_lib_rcnn import SmoothL1

if TYPE_CHECKING:
    from cafx.conformance import Case


class SmoothL1LossOHEM(SmoothL1):
    """Smooth L1 loss: L = Σ f(w (x − t)) / normaliser, with f(d) = d² / 2 where |d| < 1, else |d| − 1/2.

    Bottoms, of one shape N×C×… (trailing ones aside): predictions x, targets t, optionally weights w
    (1 if there are none).
    Tops: L, a scalar, which is a loss only if loss_weight is given; optionally Σ f over the channels, N×1×…,
    not divided, whose own gradient is ignored.
    ``loss_param.normalization``: VALID and FULL divide by the number of positions, BATCH_SIZE by N,
    PRE_FIXED by ``pre_fixed_normalizer``, NONE by 1.
    Gradient: dx = dL f'(w (x − t)) / normaliser, as R-FCN computes it, and dt = −dx; it is the derivative if the
    weights are 0 or 1. That of the weights is 0.

    Raises:
        CafxError: the bottoms differ in shape, or there is no axis of channels.

    Source: Dai et al., "R-FCN: Object Detection via Region-based Fully Convolutional Networks", NIPS 2016.
    """

    bottoms = (2, 3)
    tops = (1, 2)
    constant_tops = (1,)
    integer_bottoms = (2,)
    chained = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the normalisation."""
        self.without_default_weight(top)
        self.normaliser = Normaliser(self.read(LossParameter))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The loss is a scalar; the losses per position have one channel."""
        super().reshape(bottom, top)
        shape = bottom[0].shape
        if len(shape) < 2:
            raise self.error("the predictions have no channels", found=f"{len(shape)} axis", expected="N×C×…")
        self.divisor = self.normaliser(shape[0], math.prod(shape[2:]))
        if len(top) > 1:
            top[1].reshape(shape[0], 1, *shape[2:])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """L = Σ f(w (x − t)) / normaliser."""
        losses = self.losses(bottom)
        top[0].mutable_data[...] = losses.sum() / self.divisor
        if len(top) > 1:
            top[1].mutable_data[...] = losses.sum(axis=1, keepdims=True)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """With and without weights and losses per position, in every normalisation."""
        from cafx.conformance import Case, labels, normal

        wide = normal((3, 4), 2.0)
        yield Case("rows", wide, (3, 4), layer={"loss_weight": [1.0]})
        images = ((2, 4, 3, 2), (2, 4, 3, 2), labels((2, 4, 3, 2), 2))
        yield Case("weights", *images, tops=2, layer={"loss_weight": [2.0, 0.0]})
        yield Case("plain_outputs", (2, 3, 4), (2, 3, 4), tops=2)
        for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
            loss = {"loss_weight": [1.0], "loss_param": {"normalization": mode}}
            yield Case(mode.lower(), (2, 3, 5), (2, 3, 5), layer=loss)
        batch = {"loss_weight": [1.0], "loss_param": {"normalize": False}}
        yield Case("normalize_false", (2, 3, 5), (2, 3, 5), layer=batch)
        fixed = {"loss_weight": [1.0], "loss_param": {"normalization": "PRE_FIXED", "pre_fixed_normalizer": 12.0}}
        yield Case("pre_fixed", (2, 3, 5), (2, 3, 5), layer=fixed)
