"""DummyData: blobs made by fillers, for tests and timing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, CafxError, Filler, FillerParameter, Layer, Message, message, option
from cafx.kernel.schema import BlobShape

if TYPE_CHECKING:
    from cafx.conformance import Case

OLD_AXES = ("num", "channels", "height", "width")


@message("dummy_data_param", 109)
class DummyDataParameter(Message):
    """Options of DummyData."""

    data_filler: tuple[FillerParameter, ...] = option(
        1, FillerParameter, repeated=True, doc="one filler for every top, or one a top; default 0 everywhere"
    )
    shape: tuple[BlobShape, ...] = option(6, BlobShape, repeated=True, doc="one shape for every top, or one a top")
    num: tuple[int, ...] = option(2, "uint32", repeated=True, doc="first axis, in place of shape")
    channels: tuple[int, ...] = option(3, "uint32", repeated=True, doc="second axis, in place of shape")
    height: tuple[int, ...] = option(4, "uint32", repeated=True, doc="third axis, in place of shape")
    width: tuple[int, ...] = option(5, "uint32", repeated=True, doc="fourth axis, in place of shape")


class DummyData(Layer):
    """Values from fillers: constant ones are set once, all others drawn anew in each forward.

    Bottoms: none. Tops: any number, of the shapes stated.

    Raises:
        CafxError: shapes or fillers that are neither one nor one a top, both forms of shape, or a
            filler that does not suit its shape.

    Source: Caffe's layer catalogue.
    """

    Parameter = DummyDataParameter
    options: DummyDataParameter
    bottoms = 0
    tops = (1, None)
    deterministic = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Shape the tops and fill each once."""
        fillers = self.options.data_filler or (FillerParameter(),)
        self.fillers = [self._filler(options) for options in self._for_each("data_filler", fillers, len(top))]
        for index, (each, shape) in enumerate(zip(top, self._shapes(len(top)), strict=True)):
            each.reshape(*shape)
            # a stream of its own: what forward draws does not depend on this
            self._fill(each, self.fillers[index], self.context.streams.fresh(self.name, index))

    def _shapes(self, count: int) -> list[Sequence[int]]:
        options = self.options
        old = [axis for axis in OLD_AXES if getattr(options, axis)]
        if not old:
            return [shape.dim for shape in self._for_each("shape", options.shape, count)]
        if options.shape:
            raise self.error("states its shape twice", found=f"shape and {old[0]}", expected="shape alone")
        axes = (self._for_each(axis, getattr(options, axis), count) for axis in OLD_AXES)
        return list(zip(*axes, strict=True))

    def _for_each(self, what: str, stated: Sequence[Any], count: int) -> Sequence[Any]:
        """What is stated, as often as there are tops."""
        if len(stated) not in (1, count):
            raise self.error(
                f"{what} is stated once, or once a top", found=len(stated), expected=f"1 or {count}" if count > 1 else 1
            )
        return stated if len(stated) == count else list(stated) * count

    def _filler(self, options: FillerParameter) -> Filler:
        try:
            made: Filler = self.context.plugins.load("filler", options.type)(options)
        except CafxError as error:
            raise error.at(self.where) from None
        return made

    def _fill(self, blob: Blob, filler: Filler, rng: np.random.Generator) -> None:
        try:
            blob.set_data(filler.fill(blob.shape, rng))
        except CafxError as error:
            raise error.at(self.where) from None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The tops stay as they were made."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Draw anew what is not constant."""
        for each, filler in zip(top, self.fillers, strict=True):
            if filler.options.type != "constant":
                self._fill(each, filler, self.rng)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """There is nothing below."""

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One shape and several, constant and drawn, and four axes in the old way."""
        from cafx.conformance import Case

        drawn = {"type": "gaussian", "std": 2.0}
        two = [{"dim": [2, 3]}, {"dim": [4]}]
        old = {"num": [2], "channels": [3, 1], "height": [1], "width": [4, 5]}
        yield Case("constant", options={"shape": [{"dim": [2, 3]}], "data_filler": [{"value": 1.5}]})
        yield Case("drawn", options={"shape": two, "data_filler": [drawn, {"value": 2.0}]}, tops=2)
        yield Case("one_shape", options={"shape": [{"dim": [3]}], "data_filler": [drawn]}, tops=2)
        yield Case("old_axes", options=old, tops=2)
