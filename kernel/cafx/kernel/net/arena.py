"""Arena: all learned parameters in one flat array, their gradients in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel.blob import ALIGNMENT, Place, SyncedArray
from cafx.kernel.net.parameters import Parameter


@attrs.frozen(eq=False)
class Segment:
    """One parameter's part of an arena.

    Attributes:
        parameter: the parameter.
        place: where its values are kept, which says how they are laid out.
        start, stop: the part, in values; padding of the layout included.
    """

    parameter: Parameter
    place: Place
    start: int
    stop: int

    def view(self, values: Any) -> Any:
        """This segment of an array of the arena's size, as an array of its place."""
        blob = self.parameter.blob
        return self.place.view(values[self.start : self.stop].view(np.uint8), blob.count_, blob.dtype)


@attrs.frozen
class Range:
    """Consecutive values of an arena with the same multipliers."""

    start: int
    stop: int
    lr_mult: float
    decay_mult: float


class Arena:
    """The data of all learned parameters in one flat array, and their diffs in another.

    Parameters are ordered by layer, the last layer first: this is the order in which the backward
    pass completes their gradients. A parameter that an engine keeps in a layout of its own is
    stored in that layout; an update works value by value and does not depend on the order.

    Args:
        parameters: the learned parameters, in the net's order.
        places: where an engine keeps a parameter, for those it keeps elsewhere than in ``place``.
        place: where the arena is.

    Attributes:
        data, diff: the flat arrays.
        segments: one per parameter, in the net's order.
        ranges: where the multipliers change.
        size: number of values, padding included.

    Example:
        >>> from cafx.kernel.blob import HOST, Blob
        >>> weights, bias = Blob((2, 2)), Blob((2,))
        >>> arena = Arena([Parameter(weights, 0, 0, "0"), Parameter(bias, 0, 1, "1")], {}, HOST)
        >>> arena.data[:2] = 5, 6
        >>> bias.data.tolist()
        [5.0, 6.0]
    """

    def __init__(self, parameters: Sequence[Parameter], places: Mapping[SyncedArray, Place], place: Place) -> None:
        self.place = place
        self.dtype = parameters[0].blob.dtype if parameters else np.dtype(np.float32)
        segments, offset = [], 0
        for parameter in reversed(parameters):
            blob = parameter.blob
            kept_in = places.get(blob.synced_data, place)
            nbytes = kept_in.nbytes(blob.count_, self.dtype)
            segments.append(Segment(parameter, kept_in, offset, offset + nbytes // self.dtype.itemsize))
            offset += -(-nbytes // ALIGNMENT) * ALIGNMENT // self.dtype.itemsize
        self.ranges = _ranges(segments)
        self.segments = segments[::-1]
        self.size = offset
        self.data, self.diff = self.zeros(), self.zeros()
        for segment in self.segments:
            segment.parameter.blob.synced_data.attach(segment.place, segment.view(self.data), keep=True)
            segment.parameter.blob.synced_diff.attach(segment.place, segment.view(self.diff), keep=True)

    def zeros(self) -> Any:
        """Another array of the arena's size and place, such as a solver's history."""
        raw = self.place.allocate_bytes(self.size * self.dtype.itemsize)
        raw[...] = 0
        return raw.view(self.dtype)

    def synchronise(self) -> None:
        """Bring the arena up to date with whatever was written to the parameters elsewhere."""
        for segment in self.segments:
            segment.parameter.blob.synced_data.write(segment.place)
            segment.parameter.blob.synced_diff.write(segment.place)

    def to_host(self, values: Any, segment: Segment) -> npt.NDArray[Any]:
        """One segment of an array of the arena's size, as a new row-major host array."""
        blob = segment.parameter.blob
        host = np.empty(blob.count_, self.dtype)
        segment.place.to_host(segment.view(values), host)
        return host.reshape(blob.shape)

    def from_host(self, host: npt.ArrayLike, values: Any, segment: Segment) -> None:
        """The reverse of `to_host`: write row-major host values to a segment."""
        segment.place.from_host(np.asarray(host, self.dtype).reshape(-1), segment.view(values))


def _ranges(segments: Sequence[Segment]) -> list[Range]:
    """The segments, in the arena's order, as ranges of equal multipliers."""
    ranges: list[Range] = []
    for segment in segments:
        multipliers = segment.parameter.multipliers
        if ranges and (ranges[-1].lr_mult, ranges[-1].decay_mult) == multipliers:
            ranges[-1] = attrs.evolve(ranges[-1], stop=segment.stop)
        else:
            ranges.append(Range(segment.start, segment.stop, *multipliers))
    return ranges
