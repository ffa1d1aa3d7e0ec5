"""ArgMax: indices of the largest values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Layer, Message, above, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("argmax_param", 103)
class ArgMaxParameter(Message):
    """Options of ArgMax."""

    out_max_val: bool = option(
        1, "bool", False, doc="output the values: besides the indices, or with an axis instead of them"
    )
    top_k: int = option(2, "uint32", 1, doc="number of values, largest first", check=above(0))
    axis: int | None = option(
        3, "int32", doc="axis to search, negative from the end (default: all axes but the first, flattened)"
    )


class ArgMax(Layer):
    """The indices of the ``top_k`` largest values: y = (i₁, …, i_k) with x[i₁] ≥ x[i₂] ≥ …

    Bottom: (N, …). Top without ``axis``: (N, 1, k), with ``out_max_val`` (N, 2, k), indices before values,
    followed by axes of length 1 up to the bottom's number of axes; with ``axis``: the bottom's shape with
    length k along it. Of equal values, the one with the larger index comes first. There is no gradient.

    Raises:
        CafxError: the axis does not exist, or there are fewer than ``top_k`` values.

    Source: Caffe's layer catalogue.
    """

    Parameter = ArgMaxParameter
    options: ArgMaxParameter
    forward_only = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """``top_k`` values along the axis, or per item."""
        count, blob = self.options.top_k, bottom[0]
        axis = self.axis(blob, self.options.axis or 0)
        self.search_axis = axis if self.options.has("axis") else None
        length = blob.count(1) if self.search_axis is None else blob.shape[axis]
        if count > length:
            raise self.error("top_k exceeds the number of values", found=count, expected=f"at most {length}")
        if self.search_axis is None:
            rest = (1,) * (blob.num_axes - 3)
            top[0].reshape(blob.shape[0], 2 if self.options.out_max_val else 1, count, *rest)
        else:
            top[0].reshape(*blob.shape[:axis], count, *blob.shape[axis + 1 :])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Write indices, values or both."""
        x, y, count = bottom[0].data, top[0].mutable_data, self.options.top_k
        if not x.size:
            return
        if self.search_axis is not None:
            index, value = self._largest(self.xp.moveaxis(x, self.search_axis, -1))
            result = value if self.options.out_max_val else index
            y[...] = self.xp.moveaxis(result, -1, self.search_axis)
            return
        index, value = self._largest(x.reshape(x.shape[0], -1))
        y = y.reshape(x.shape[0], -1, count)
        y[:, 0] = index
        if self.options.out_max_val:
            y[:, 1] = value

    def _largest(self, x: Any) -> tuple[Any, Any]:
        """Indices and values of the largest along the last axis, searched from its end to order ties."""
        reverse, last = x[..., ::-1], x.shape[-1] - 1
        if self.options.top_k == 1:
            order = reverse.argmax(axis=-1)[..., None]
        else:
            order = self.xp.argsort(-reverse, axis=-1, kind="stable")[..., : self.options.top_k]
        return last - order, self.xp.take_along_axis(reverse, order, axis=-1)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One and several values, per item and along an axis, as indices and as values."""
        from cafx.conformance import Case, distinct

        yield Case("item", distinct((3, 7)))
        yield Case("three_values", distinct((3, 2, 2, 3)), options={"top_k": 3, "out_max_val": True})
        yield Case("axis", distinct((2, 5, 3, 2, 2)), options={"axis": 1, "top_k": 2})
        yield Case("axis_value", distinct((2, 3, 4)), options={"axis": -1, "out_max_val": True})
