"""Split: one blob for several consumers, without copies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer

if TYPE_CHECKING:
    from cafx.conformance import Case

TYPE = "Split"


class Split(Layer):
    """Shares a blob among several consumers: yᵢ = x.

    Bottom: any shape. Tops: one per consumer, of the bottom's shape, sharing its data.
    Gradient: dx = Σ dyᵢ. A net inserts splits by itself where a blob has several consumers.

    Source: Caffe's layer catalogue.
    """

    tops = (1, None)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The tops share the bottom's data."""
        for each in top:
            each.reshape(*bottom[0].shape)
            each.share_data(bottom[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """No-op: data are shared."""

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
        """One and three tops."""
        from cafx.conformance import Case

        yield Case("one", (2, 3))
        yield Case("three", (2, 3, 4, 5), tops=3)
