"""DummyData: blobs filled by fillers, for tests and timing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, CafxError, Filler, FillerParameter, Layer, Message, message, option
from cafx.kernel.schema import BlobShape

if TYPE_CHECKING:
    from cafx.conformance import Case

LEGACY_AXES = ("num", "channels", "height", "width")


@message("dummy_data_param", 109)
class DummyDataParameter(Message):
    """Options of DummyData."""

    data_filler: tuple[FillerParameter, ...] = option(
        1, FillerParameter, repeated=True, doc="one filler for all tops, or one per top (default: zeros)"
    )
    shape: tuple[BlobShape, ...] = option(6, BlobShape, repeated=True, doc="one shape for all tops, or one per top")
    num: tuple[int, ...] = option(2, "uint32", repeated=True, doc="legacy: first axis, instead of shape")
    channels: tuple[int, ...] = option(3, "uint32", repeated=True, doc="legacy: second axis, instead of shape")
    height: tuple[int, ...] = option(4, "uint32", repeated=True, doc="legacy: third axis, instead of shape")
    width: tuple[int, ...] = option(5, "uint32", repeated=True, doc="legacy: fourth axis, instead of shape")


class DummyData(Layer):
    """Values from fillers: constants are set once, random values are drawn in every forward pass.

    Bottoms: none. Tops: any number, of the given shapes.

    Raises:
        CafxError: neither one nor one per top of shapes or fillers, both forms of shape, or a filler that
            does not support its shape.

    Source: Caffe's layer catalogue.
    """

    Parameter = DummyDataParameter
    options: DummyDataParameter
    bottoms = 0
    tops = (1, None)
    deterministic = False

    @property
    def capturable(self) -> bool:  # type: ignore[override]
        """Whether nothing is drawn, which fillers do on the host."""
        return all(filler.options.type == "constant" for filler in self.fillers)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Reshape the tops and fill them once."""
        fillers = self.options.data_filler or (FillerParameter(),)
        self.fillers = [self._filler(options) for options in self._one_per_top("data_filler", fillers, len(top))]
        for index, (each, shape) in enumerate(zip(top, self._shapes(len(top)), strict=True)):
            each.reshape(*shape)
            # a separate stream, so that the draws of forward do not depend on setup
            self._fill(each, self.fillers[index], self.context.streams.fresh(self.name, index))

    def _shapes(self, count: int) -> list[Sequence[int]]:
        options = self.options
        legacy = [axis for axis in LEGACY_AXES if getattr(options, axis)]
        if not legacy:
            return [shape.dim for shape in self._one_per_top("shape", options.shape, count)]
        if options.shape:
            raise self.error("shape is set twice", found=f"shape and {legacy[0]}", expected="only shape")
        axes = (self._one_per_top(axis, getattr(options, axis), count) for axis in LEGACY_AXES)
        return list(zip(*axes, strict=True))

    def _one_per_top(self, name: str, values: Sequence[Any], count: int) -> Sequence[Any]:
        """Repeat a single value for each of ``count`` tops."""
        if len(values) not in (1, count):
            expected = f"1 or {count}" if count > 1 else 1
            raise self.error(f"wrong number of '{name}'", found=len(values), expected=expected)
        return values if len(values) == count else list(values) * count

    def _filler(self, options: FillerParameter) -> Filler:
        try:
            filler: Filler = self.context.plugins.load("filler", options.type)(options)
        except CafxError as error:
            raise error.at(self.where) from None
        return filler

    def _fill(self, blob: Blob, filler: Filler, rng: np.random.Generator) -> None:
        try:
            blob.set_data(filler.fill(blob.shape, rng))
        except CafxError as error:
            raise error.at(self.where) from None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Do nothing: shapes are fixed by the options."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Draw new values for fillers that are not constant."""
        for each, filler in zip(top, self.fillers, strict=True):
            if filler.options.type != "constant":
                self._fill(each, filler, self.rng)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Do nothing: there are no bottoms."""

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One and several shapes, constant and random values, and legacy axes."""
        from cafx.conformance import Case

        gaussian = {"type": "gaussian", "std": 2.0}
        two = [{"dim": [2, 3]}, {"dim": [4]}]
        legacy = {"num": [2], "channels": [3, 1], "height": [1], "width": [4, 5]}
        yield Case("constant", options={"shape": [{"dim": [2, 3]}], "data_filler": [{"value": 1.5}]})
        yield Case("random", options={"shape": two, "data_filler": [gaussian, {"value": 2.0}]}, tops=2)
        yield Case("one_shape", options={"shape": [{"dim": [3]}], "data_filler": [gaussian]}, tops=2)
        yield Case("legacy_axes", options=legacy, tops=2)
