"""Tile: a blob repeated along an axis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer, Message, above, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("tile_param", 138)
class TileParameter(Message):
    """Options of Tile."""

    axis: int = option(1, "int32", 1, doc="axis to repeat along; negative from the end")
    tiles: int = option(2, "int32", doc="number of copies", check=above(0))


class Tile(Layer):
    """Repeats the bottom ``tiles`` times along ``axis``: y = (x | x | … | x).

    Bottom: any shape. Top: the same shape, ``tiles`` times as long along ``axis``.
    Gradient: dx = Σ dy over the copies.

    Raises:
        CafxError: the axis does not exist, or tiles is missing or not positive.

    Source: Caffe's layer catalogue.
    """

    Parameter = TileParameter
    options: TileParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check that tiles is set."""
        if not self.options.has("tiles"):
            raise self.error("tiles is missing", expected="tile_param { tiles: … }")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The axis becomes ``tiles`` times as long."""
        axis, shape = self.axis(bottom[0], self.options.axis), bottom[0].shape
        top[0].reshape(*shape[:axis], shape[axis] * self.options.tiles, *shape[axis + 1 :])
        outer, inner = bottom[0].count(0, axis), bottom[0].count(axis)
        self.copied, self.single = (outer, self.options.tiles, inner), (outer, 1, inner)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy x ``tiles`` times."""
        top[0].mutable_data.reshape(self.copied)[...] = bottom[0].data.reshape(self.single)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = Σ dy over the copies."""
        if propagate_down[0]:
            dx = bottom[0].mutable_diff.reshape(self.single)
            dx[...] = top[0].diff.reshape(self.copied).sum(axis=1, keepdims=True)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Along channels, the first and the last axis."""
        from cafx.conformance import Case

        yield Case("channels", (2, 3, 4, 1), options={"tiles": 3})
        yield Case("first", (2, 3), options={"axis": 0, "tiles": 2})
        yield Case("last", (2, 3, 1, 2, 2), options={"axis": -1, "tiles": 5})
        yield Case("once", (4, 3), options={"tiles": 1})
