"""Silence: a reader for blobs nobody wants, so that they are no outputs of the net."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer

if TYPE_CHECKING:
    from cafx.conformance import Case


class Silence(Layer):
    """Reads its bottoms and makes nothing of them.

    Bottoms: one or more, of any shape. Tops: none.
    Gradient: dx = 0.

    Source: Caffe's layer catalogue.
    """

    bottoms = (1, None)
    tops = 0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """There is no top."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to do."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = 0."""
        for each, wanted in zip(bottom, propagate_down, strict=True):
            if wanted:
                each.mutable_diff[...] = 0

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One bottom and three."""
        from cafx.conformance import Case

        yield Case("one", (2, 3), tops=0)
        yield Case("three", (2, 3, 4, 5), (4,), (2, 1, 3), tops=0)
