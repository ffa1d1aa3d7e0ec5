"""BatchReindex: items of a batch selected by index."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, CafxError, Layer
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case


class BatchReindex(Layer):
    """Selects, reorders or repeats the items of a batch: yᵢ = x[kᵢ].

    Bottoms: x of shape (N, …); integer indices k of shape (M), from 0 to N − 1. Top: shape (M, …).
    Gradient: dxₙ = Σ dyᵢ over all i with kᵢ = n.

    Raises:
        CafxError: the indices do not have exactly one axis, or an index is out of range.
    Source: Caffe's layer catalogue.
    """

    bottoms = 2
    integer_bottoms = (1,)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """One item per index."""
        if bottom[1].num_axes != 1:
            raise self.error("the indices are not a vector", found=shape_text(bottom[1].shape), expected="one axis")
        if not bottom[0].num_axes:
            raise self.error("the first bottom is not a batch", found="a scalar", expected="at least one axis")
        top[0].reshape(*bottom[1].shape, *bottom[0].shape[1:])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """yᵢ = x[kᵢ]."""
        indices = self._indices(bottom)
        if top[0].count():
            top[0].mutable_data[...] = bottom[0].data[indices]

    def _indices(self, bottom: list[Blob]) -> Any:
        count = bottom[0].shape[0]

        def error(lowest: float, highest: float) -> CafxError:
            wrong = highest if lowest > -1 else lowest
            return self.error("index out of range", found=f"{wrong:g}", expected=f"0 to {count - 1}")

        return self.context.checks.indices(bottom[1].data, count, error, f"{self.name}: indices")

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dxₙ = Σ dyᵢ over the copies of xₙ."""
        self.refuse_gradients(propagate_down)
        if propagate_down[0]:
            dx = bottom[0].mutable_diff
            dx[...] = 0
            self.xp.add.at(dx, self._indices(bottom), top[0].diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Reordered, selected and repeated items."""
        from cafx.conformance import Case, values

        yield Case("order", (4, 3), values([2, 0, 1, 3]))
        yield Case("fewer", (5, 2, 2, 3), values([4, 1]))
        yield Case("repeated", (3, 2), values([1, 1, 0, 2, 1]))
