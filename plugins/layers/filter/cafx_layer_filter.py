"""Filter: items of a batch kept or dropped by a selector blob."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case


class Filter(Layer):
    """Keeps the items whose selector is not 0: y = x[s ≠ 0].

    Bottoms: one or more x of shape (N, …); last, the selector s of shape (N) or (N, 1, …).
    Tops: one per x, of shape (M, …), with M the number of kept items (N before the first forward pass).
    Gradient: dx = dy for kept items, else 0; none for s.

    Raises:
        CafxError: the number of tops is wrong, the selector does not have one value per item, or the batch
            sizes differ.

    Source: Caffe's layer catalogue.
    """

    bottoms = (2, None)
    tops = (1, None)
    dynamic_shape = True
    capturable = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check that there is one top per bottom but the selector."""
        if len(top) != len(bottom) - 1:
            raise self.error(
                "needs one top per bottom but the last", found=f"{len(top)} tops", expected=len(bottom) - 1
            )

    def needs_gradient(self, bottom_index: int) -> bool:
        """True for every bottom but the selector."""
        return bottom_index < len(self.spec.bottom) - 1

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The tops have the bottoms' shapes until forward knows how many items are kept."""
        selector = bottom[-1].shape
        if not selector or any(length != 1 for length in selector[1:]):
            found = shape_text(selector)
            raise self.error("the selector needs one value per item", found=found, expected="N, or N×1×…")
        for x, y in zip(bottom[:-1], top, strict=True):
            if x.shape[:1] != selector[:1]:
                message = f"bottom '{x.name}' and the selector differ in batch size"
                raise self.error(message, found=shape_text(x.shape), expected=f"{selector[0]} items")
            y.reshape(*x.shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = x[s ≠ 0]."""
        self.kept = bottom[-1].data.reshape(-1) != 0
        count = int(self.kept.sum())
        for x, y in zip(bottom[:-1], top, strict=True):
            y.reshape(count, *x.shape[1:])
            y.mutable_data[...] = x.data[self.kept]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy for kept items, else 0."""
        if propagate_down[-1]:
            raise self.error("the selector has no gradient", remedy="set propagate_down: false for it")
        for y, needed, x in zip(top, propagate_down[:-1], bottom[:-1], strict=True):
            if needed:
                dx = x.mutable_diff
                dx[...] = 0
                dx[self.kept] = y.diff

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Some and all items kept; two bottoms."""
        from cafx.conformance import Case, values

        yield Case("some", (4, 3), values([1, 0, 1, 0]))
        yield Case("all", (3, 2, 2), values([[1], [2], [-1]]))
        yield Case("two", (5, 2, 1, 3), (5,), values([0, 0, 1, 0, 1]), tops=2)
