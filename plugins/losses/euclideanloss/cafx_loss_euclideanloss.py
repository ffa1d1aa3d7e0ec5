"""EuclideanLoss: half the mean squared distance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, LossLayer

if TYPE_CHECKING:
    from cafx.conformance import Case


class EuclideanLoss(LossLayer):
    """Euclidean loss: L = Σ (a − b)² / 2N.

    Bottoms: a and b, N×… each, with equal N and equal numbers of values per item; their shapes may differ
    otherwise. Top: L, a scalar. Gradients: da = dL · (a − b) / N, db = −da.

    Raises:
        CafxError: the bottoms differ in batch size or in the number of values per item.

    Source: Caffe's layer catalogue, Euclidean loss.
    """

    integer_bottoms = ()

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the buffer for a − b."""
        self.difference = self.context.blob((), f"{self.name}.difference")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top is a scalar."""
        super().reshape(bottom, top)
        if bottom[0].count(1) != bottom[1].count(1):
            found = f"{bottom[0].count(1)} and {bottom[1].count(1)}"
            raise self.error("the bottoms differ in values per item", found=found, expected="equal numbers")
        self.difference.reshape(*bottom[0].shape)
        self.items = max(1, bottom[0].shape[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """L = Σ (a − b)² / 2N."""
        difference = self.difference.mutable_data
        self.xp.subtract(bottom[0].data, bottom[1].data.reshape(difference.shape), out=difference)
        squares = self.workspace(difference.shape)
        self.xp.multiply(difference, difference, out=squares)
        top[0].mutable_data[...] = squares.sum() / (2 * self.items)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """da = dL · (a − b) / N, db = −da."""
        scale = self.loss_weight(top) / self.items
        for blob, needed, factor in zip(bottom, propagate_down, (scale, -scale), strict=True):
            if needed:
                difference = self.difference.data.reshape(blob.shape)
                self.xp.multiply(difference, factor, out=blob.mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One to four axes, different shapes of equal count, and a loss weight."""
        from cafx.conformance import Case

        yield Case("rows", (4, 5), (4, 5))
        yield Case("images", (2, 3, 4, 5), (2, 3, 4, 5), layer={"loss_weight": [0.3]})
        yield Case("one_axis", (7,), (7, 1, 1))
        yield Case("other_shape", (3, 2, 4), (3, 8))
