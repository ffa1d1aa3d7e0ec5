"""Split: one blob for several readers, without copies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer

if TYPE_CHECKING:
    from cafx.conformance import Case

TYPE = "Split"


class Split(Layer):
    """Each top is the bottom's data; the bottom's gradient is the sum of the tops'.

    Bottom: any shape. Tops: as many as there are readers, each of the bottom's shape.
    Gradient: dx = Σ dyᵢ. The net puts splits in by itself where a blob has several readers.

    Source: Caffe's layer catalogue.
    """

    tops = (1, None)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The tops hold the bottom's own data."""
        for each in top:
            each.reshape(*bottom[0].shape)
            each.share_data(bottom[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to do: the data are shared."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = Σ dyᵢ."""
        if not propagate_down[0]:
            return
        dx = bottom[0].mutable_diff
        dx[...] = top[0].diff
        for each in top[1:]:
            dx += each.diff

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One reader to three."""
        from cafx.conformance import Case

        yield Case("one", (2, 3))
        yield Case("three", (2, 3, 4, 5), tops=3)
