"""BatchReindex: items of a batch picked by index."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Layer
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case


class BatchReindex(Layer):
    """The items of a batch in another order, some left out or repeated: yᵢ = x[kᵢ].

    Bottoms: x of shape (N, …), and indices k of shape (M), whole numbers from 0 to N − 1.
    Top: shape (M, …).
    Gradient: dxₙ = the sum of dyᵢ over all i with kᵢ = n.

    Raises:
        CafxError: indices of more than one axis, or one that names no item.

    Source: Caffe's layer catalogue.
    """

    bottoms = 2
    integer_bottoms = (1,)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """As many items as there are indices."""
        if bottom[1].num_axes != 1:
            raise self.error("takes its indices in one axis", found=shape_text(bottom[1].shape), expected="one axis")
        if not bottom[0].num_axes:
            raise self.error("takes a batch", found="a scalar", expected="one axis or more")
        top[0].reshape(*bottom[1].shape, *bottom[0].shape[1:])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """yᵢ = x[kᵢ]."""
        picked = self._indices(bottom)
        if top[0].count():
            top[0].mutable_data[...] = bottom[0].data[picked]

    def _indices(self, bottom: list[Blob]) -> Any:
        picked, count = bottom[1].data.astype("int64"), bottom[0].shape[0]
        if picked.size:
            low, high = int(picked.min()), int(picked.max())
            if low < 0 or high >= count:
                raise self.error(
                    "an index names no item of the batch", found=low if low < 0 else high,
                    expected=f"0 to {count - 1}",
                )  # fmt: skip
        return picked

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add each item's gradient to that of the item it was copied from."""
        self.refuse_gradients(propagate_down)
        if propagate_down[0]:
            dx = bottom[0].mutable_diff
            dx[...] = 0
            self.xp.add.at(dx, self._indices(bottom), top[0].diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Another order, fewer items, and items repeated."""
        from cafx.conformance import Case, values

        yield Case("order", (4, 3), values([2, 0, 1, 3]))
        yield Case("fewer", (5, 2, 2, 3), values([4, 1]))
        yield Case("repeated", (3, 2), values([1, 1, 0, 2, 1]))
