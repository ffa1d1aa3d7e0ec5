"""Reshape: the same values in another shape, without a copy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer, Message, at_least, message, option
from cafx.kernel.blob import shape_text
from cafx.kernel.schema import BlobShape

if TYPE_CHECKING:
    from cafx.conformance import Case

COPIED, INFERRED = 0, -1


@message("reshape_param", 133)
class ReshapeParameter(Message):
    """Options of Reshape."""

    shape: BlobShape = option(
        1, BlobShape, doc="new axes; 0 copies the bottom's axis at this position, one -1 is inferred"
    )
    axis: int = option(2, "int32", 0, doc="first axis to replace; -1 is after the last")
    num_axes: int = option(3, "int32", -1, doc="number of axes to replace; -1 for all", check=at_least(-1))


class Reshape(Layer):
    """Replaces ``num_axes`` axes from ``axis`` on by those of ``shape``: y = x in another shape.

    Bottom: any shape. Top: the new shape, with as many values.
    Gradient: dx = dy. Top and bottom share data and diff.

    Raises:
        CafxError: more than one axis is inferred, a 0 has no axis to copy, the replaced axes do not exist,
            or the number of values changes.

    Source: Caffe's layer catalogue.
    """

    Parameter = ReshapeParameter
    options: ReshapeParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check what does not depend on the bottom."""
        dims = self.options.shape.dim
        if dims.count(INFERRED) > 1:
            raise self.error("can infer only one axis", found=f"shape {list(dims)}", expected="at most one -1")
        if min(dims, default=0) < INFERRED:
            raise self.error("negative axis in shape", found=f"shape {list(dims)}", expected="-1, 0 or more")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the new shape; the top shares the bottom's data and diff."""
        shape = self._new_shape(bottom[0].shape)
        if math.prod(shape) != bottom[0].count():
            raise self.error(
                "shape changes the number of values",
                found=f"{shape_text(shape)} for {shape_text(bottom[0].shape)}",
                expected=f"{bottom[0].count()} values",
            )
        top[0].reshape(*shape)
        top[0].share_data(bottom[0])
        top[0].share_diff(bottom[0])

    def _new_shape(self, old: tuple[int, ...]) -> tuple[int, ...]:
        start, stop = self._replaced(len(old))
        new = [self._copied(old, start + i) if dim == COPIED else dim for i, dim in enumerate(self.options.shape.dim)]
        if INFERRED in new:
            known = math.prod([*old[:start], *old[stop:], *(dim for dim in new if dim != INFERRED)])
            new[new.index(INFERRED)] = self._inferred(old, known, new)
        return (*old[:start], *new, *old[stop:])

    def _replaced(self, axes: int) -> tuple[int, int]:
        """The range of the bottom's axes to replace."""
        axis, count = self.options.axis, self.options.num_axes
        start = axis if axis >= 0 else axes + 1 + axis
        stop = axes if count < 0 else start + count
        if not 0 <= start <= stop <= axes:
            found = f"axis {axis}, num_axes {count}"
            raise self.error("the bottom does not have these axes", found=found, expected=f"a range within {axes} axes")
        return start, stop

    def _copied(self, old: tuple[int, ...], axis: int) -> int:
        if axis >= len(old):
            found, expected = f"axis {axis} of {shape_text(old)}", f"an axis below {len(old)}"
            raise self.error("a 0 in shape has no axis to copy", found=found, expected=expected)
        return old[axis]

    def _inferred(self, old: tuple[int, ...], known: int, new: list[int]) -> int:
        """Length of the inferred axis; for an empty bottom, as if its empty axes had length 1."""
        count = math.prod(old)
        if known == 0:
            count = math.prod(length or 1 for length in old)
            start, stop = self._replaced(len(old))
            rest = (*old[:start], *old[stop:], *(dim for dim in new if dim != INFERRED))
            known = math.prod(length or 1 for length in rest)
        if count % known:
            found, expected = f"{count} values, {known} per index", f"a multiple of {known} values"
            raise self.error("cannot infer an axis", found=found, expected=expected)
        return count // known

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """No-op: data are shared."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """No-op: gradients are shared."""

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Copied, inferred and given axes; replacement in the middle; insertion."""
        from cafx.conformance import Case

        yield Case("copied", (2, 3, 4, 5), options={"shape": {"dim": [0, 0, 20]}})
        yield Case("inferred", (2, 3, 4), options={"shape": {"dim": [0, -1]}})
        yield Case("middle", (2, 3, 4, 5), options={"shape": {"dim": [12]}, "axis": 1, "num_axes": 2})
        yield Case("put_in", (2, 3), options={"shape": {"dim": [1, 1]}, "axis": -1, "num_axes": 0})
