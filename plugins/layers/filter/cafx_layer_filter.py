"""Filter: items of a batch kept or dropped by a selector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case


class Filter(Layer):
    """Of each bottom but the last, the items whose selector is not 0: y = x[s ≠ 0].

    Bottoms: one or more of shape (N, …), and last the selector s of shape (N) or (N, 1, …).
    Tops: one a bottom but the selector, of shape (M, …), where M is the number of items kept; until
    the first forward, N.
    Gradient: dx = dy for the items kept, 0 for the others.

    Raises:
        CafxError: another number of tops, a selector of more than one value an item, or bottoms of
            another batch size.

    Source: Caffe's layer catalogue.
    """

    bottoms = (2, None)
    tops = (1, None)
    dynamic_shape = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check that there is a top for each bottom but the selector."""
        if len(top) != len(bottom) - 1:
            raise self.error(
                "makes a top of each bottom but the last", found=f"{len(top)} tops", expected=len(bottom) - 1
            )

    def needs_gradient(self, bottom_index: int) -> bool:
        """Every bottom but the selector."""
        return bottom_index < len(self.spec.bottom) - 1

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Room for the whole batch: how much of it is kept, the selector's values will tell."""
        selector = bottom[-1].shape
        if not selector or any(length != 1 for length in selector[1:]):
            raise self.error("takes one selecting value an item", found=shape_text(selector), expected="N, or N×1×…")
        for each, made in zip(bottom[:-1], top, strict=True):
            if each.shape[:1] != selector[:1]:
                raise self.error(
                    f"bottom '{each.name}' has another batch size than the selector",
                    found=shape_text(each.shape), expected=f"{selector[0]} items",
                )  # fmt: skip
            made.reshape(*each.shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = the items of x that are selected."""
        self.kept = bottom[-1].data.reshape(-1) != 0
        count = int(self.kept.sum())
        for each, made in zip(bottom[:-1], top, strict=True):
            made.reshape(count, *each.shape[1:])
            made.mutable_data[...] = each.data[self.kept]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy where kept, 0 elsewhere."""
        if propagate_down[-1]:
            raise self.error("has no gradient for its selector", remedy="set propagate_down: false for it")
        for made, wanted, each in zip(top, propagate_down[:-1], bottom[:-1], strict=True):
            if wanted:
                dx = each.mutable_diff
                dx[...] = 0
                dx[self.kept] = made.diff

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Some items kept, all of them, and two bottoms under one selector."""
        from cafx.conformance import Case, values

        yield Case("some", (4, 3), values([1, 0, 1, 0]))
        yield Case("all", (3, 2, 2), values([[1], [2], [-1]]))
        yield Case("two", (5, 2, 1, 3), (5,), values([0, 0, 1, 0, 1]), tops=2)
