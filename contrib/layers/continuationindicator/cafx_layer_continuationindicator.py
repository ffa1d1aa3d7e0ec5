"""ContinuationIndicator: markers of where sequences start, for recurrent layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer, Message, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("continuation_indicator_param")
class ContinuationIndicatorParameter(Message):
    """Options of ContinuationIndicator."""

    time_step: int = option(1, "uint32", 0, doc="T, the number of time steps")
    batch_size: int = option(2, "uint32", 0, doc="N, the number of sequences; not looked at if there is a bottom")
    axis: int = option(3, "int32", 0, doc="the axis of the bottom whose length is N; negative from the end")


class ContinuationIndicator(Layer):
    """Markers of N sequences of T steps each: y[t, n] = 0 for t = 0, else 1.

    Bottom: none, or one of which only the length of ``axis`` is read: N. Top: shape T×N, the second bottom of
    an LSTM or RNN. The gradient with respect to the bottom is 0.

    Raises:
        CafxError: time_step is missing, batch_size is missing and there is no bottom, or the axis does not
            exist.

    Source: Donahue et al., "Long-term Recurrent Convolutional Networks for Visual Recognition and Description",
    2014, for the markers; the layer is from jolibrain/caffe.
    """

    Parameter = ContinuationIndicatorParameter
    options: ContinuationIndicatorParameter
    bottoms = (0, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the options."""
        for name in ("time_step",) if bottom else ("time_step", "batch_size"):
            if not getattr(self.options, name):
                raise self.error(f"{name} is missing", expected=f"continuation_indicator_param {{ {name}: … }}")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top is T×N."""
        options = self.options
        sequences = bottom[0].shape[self.axis(bottom[0], options.axis)] if bottom else options.batch_size
        top[0].reshape(options.time_step, sequences)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """0 in the first step, 1 in the others."""
        y = top[0].mutable_data
        y[...] = 1
        y[:1] = 0

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = 0."""
        if bottom and propagate_down[0]:
            bottom[0].mutable_diff[...] = 0

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """N from an option and from a bottom; bottoms of one to five axes."""
        from cafx.conformance import Case

        yield Case("stated", options={"time_step": 4, "batch_size": 3})
        yield Case("images", (2, 3, 4, 5), options={"time_step": 5})
        yield Case("time_first", (4, 2, 3), options={"time_step": 4, "axis": 1})
        yield Case("vector", (3,), options={"time_step": 1, "axis": -1})
        yield Case("five_axes", (2, 1, 2, 1, 2), options={"time_step": 2})
