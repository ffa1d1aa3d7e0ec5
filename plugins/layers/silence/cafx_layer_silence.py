"""Silence: consumes blobs, so that they are not outputs of the net."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer

if TYPE_CHECKING:
    from cafx.conformance import Case


class Silence(Layer):
    """Consumes its bottoms, which would otherwise be outputs of the net.

    Bottoms: one or more, of any shape. Tops: none. Gradient: dx = 0.

    Source: Caffe's layer catalogue.
    """

    bottoms = (1, None)
    tops = 0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """No-op: there is no top."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """No-op."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = 0."""
        for each, needed in zip(bottom, propagate_down, strict=True):
            if needed:
                each.mutable_diff[...] = 0

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One and three bottoms."""
        from cafx.conformance import Case

        yield Case("one", (2, 3), tops=0)
        yield Case("three", (2, 3, 4, 5), (4,), (2, 1, 3), tops=0)
