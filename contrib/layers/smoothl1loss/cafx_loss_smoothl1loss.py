"""SmoothL1Loss: quadratic for small differences, linear for large ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, LossParameter, Message, above, message, option
from cafx_lib_rcnn import SmoothL1

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("smooth_l1_loss_param", 8266712)
class SmoothL1LossParameter(Message):
    """Options of SmoothL1Loss in the form of Fast R-CNN."""

    sigma: float = option(1, "float", 1.0, doc="differences below 1/σ² count quadratically", check=above(0))


class SmoothL1Loss(SmoothL1):
    """Smooth L1 loss: L = Σ w₂ f(w₁ (x − t)) / N, with f(d) = σ² d² / 2 where |d| < 1/σ², else |d| − 1/(2σ²).

    Bottoms, of one shape N×… (trailing ones aside): predictions x, targets t, optionally inside weights w₁ and
    outside weights w₂ (1 if there are none). Top: L, a scalar.
    ``loss_param { normalization: NONE }`` leaves out the division.
    Gradient: dx = dL w₁ w₂ f'(w₁ (x − t)) / N and dt = −dx; 0 for the weights.
    SSD's layer of this name has two bottoms and no options, and its loss_weight is 1 by default. With
    ``smooth_l1_loss_param`` or four bottoms, the layer is Fast R-CNN's, and a loss only if loss_weight is given.

    Raises:
        CafxError: the bottoms differ in shape, or σ is not positive.

    Source: Girshick, "Fast R-CNN", ICCV 2015; Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016.
    """

    Parameter = SmoothL1LossParameter
    options: SmoothL1LossParameter
    bottoms = (2, 4)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the normalisation; only SSD's form has a default loss_weight."""
        self.sigma = self.options.sigma
        modes = LossParameter.NormalizationMode
        self.undivided = self.read(LossParameter).normalization == modes.NONE
        if len(bottom) == 4 or self.spec.HasField("smooth_l1_loss_param"):
            self.without_default_weight(top)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The loss is a scalar."""
        super().reshape(bottom, top)
        self.divisor = 1 if self.undivided else max(1, bottom[0].shape[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """L = Σ w₂ f(w₁ (x − t)) / N."""
        top[0].mutable_data[...] = self.losses(bottom).sum() / self.divisor

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Two to four bottoms, with σ, loss_weight and without normalisation."""
        from cafx.conformance import Case, normal

        wide = normal((3, 4), 2.0)
        yield Case("ssd", wide, (3, 4))
        yield Case("inside", (2, 3, 4), (2, 3, 4), (2, 3, 4), layer={"loss_weight": [0.5]})
        images = ((2, 4, 3, 2),) * 4
        yield Case("weights", *images, options={"sigma": 3.0}, layer={"loss_weight": [2.0]})
        loss = {"loss_param": {"normalization": "NONE"}, "loss_weight": [1.0]}
        yield Case("sum", wide, (3, 4), options={"sigma": 0.5}, layer=loss)
        yield Case("plain_output", (5,), (5,), options={"sigma": 1.0})
