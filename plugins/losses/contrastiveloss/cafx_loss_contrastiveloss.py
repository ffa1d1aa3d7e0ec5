"""ContrastiveLoss: small distances for similar pairs, large ones for dissimilar pairs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, LossLayer, Message, message, option
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case

GUARD = 1e-4
"""Added to distances in denominators, as in Caffe, so that equal points have gradient 0."""


@message("contrastive_loss_param", 105)
class ContrastiveLossParameter(Message):
    """Options of ContrastiveLoss."""

    margin: float = option(1, "float", 1.0, doc="minimum distance of dissimilar pairs")
    legacy_version: bool = option(
        2, "bool", False, doc="compare the squared distance with the margin, instead of the distance"
    )


class ContrastiveLoss(LossLayer):
    """Contrastive loss: L = Σ (s · d² + (1 − s) · max(margin − d, 0)²) / 2N, with d = ‖a − b‖ per pair.

    Bottoms: a and b, N×C (or N×C×1×1); s, N labels, 1 for similar and 0 for dissimilar pairs.
    Top: L, a scalar. With ``legacy_version``, dissimilar pairs contribute max(margin − d², 0) instead.
    Gradient: da = dL · (a − b) / N for similar pairs; da = −dL · (margin − d) · (a − b) / (N · d) for
    dissimilar pairs within the margin (legacy: −dL · (a − b) / N), else 0; db = −da.

    Raises:
        CafxError: a and b differ in shape or are not vectors, or there is not one s per pair.

    Source: Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping",
    2006.
    """

    Parameter = ContrastiveLossParameter
    options: ContrastiveLossParameter
    bottoms = 3
    integer_bottoms = (2,)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top is a scalar."""
        super().reshape(bottom, top)
        items, length = bottom[0].shape[0], bottom[0].count(1)
        flat = all(axis == 1 for blob in bottom[:2] for axis in blob.shape[2:])
        if not flat or bottom[1].count(1) != length or bottom[2].count() != items:
            raise self.error(
                "expects pairs of vectors and one label per pair",
                found=", ".join(shape_text(blob.shape) for blob in bottom),
                expected=f"{items}×C, {items}×C and {items}",
            )
        self.view, self.items = (items, length), max(1, items)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """L = Σ (s · d² + (1 − s) · max(margin − d, 0)²) / 2N."""
        margin, legacy = self.options.margin, self.options.legacy_version
        difference = bottom[0].data.reshape(self.view) - bottom[1].data.reshape(self.view)
        similar = abs(bottom[2].data.reshape(-1, 1)) >= 1
        squared = (difference * difference).sum(axis=1, keepdims=True)
        distance = self.xp.sqrt(squared)
        shortfall = self.xp.maximum(margin - (squared if legacy else distance), 0)
        cost = self.xp.where(similar, squared, shortfall if legacy else shortfall * shortfall)
        top[0].mutable_data[...] = cost.sum() / (2 * self.items)
        push = self.xp.sign(shortfall) if legacy else shortfall / (distance + GUARD)
        self.slope = self.xp.where(similar, difference, -push * difference)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """da = dL · slope / N, db = −da."""
        self.refuse_gradients(propagate_down)
        scale = self.loss_weight(top) / self.items
        for blob, needed, factor in zip(bottom, propagate_down, (scale, -scale), strict=False):
            if needed:
                self.xp.multiply(self.slope, factor, out=blob.mutable_diff.reshape(self.view))

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Similar and dissimilar pairs, within and beyond the margin, both versions; two to four axes."""
        from cafx.conformance import Case, labels

        yield Case("rows", (8, 3), (8, 3), labels((8,), 2), options={"margin": 2.5})
        wide = {"margin": 9.0, "legacy_version": True}
        yield Case("legacy", (8, 2), (8, 2), labels((8, 1), 2), options=wide)
        yield Case("images", (6, 4, 1, 1), (6, 4, 1, 1), labels((6, 1, 1, 1), 2))
