"""SyncedArray: one array, kept in as many places as have read or written it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel.blob.place import HOST, Place


@attrs.frozen(eq=False)
class SyncedState:
    """Where an array's newest values are: see `SyncedArray.state`.

    Attributes:
        arrays: the current copies, by place.
        is_zero: whether the values are zeros that have not been written out yet.
    """

    arrays: Mapping[Place, Any]
    is_zero: bool


class SyncedArray:
    """``count`` values in row-major order, and the places that hold a copy of them.

    A small state machine. A place's copy is *current* if it holds the newest values; reading from
    a place that is not current converts a current copy, straight from place to place where there is
    a way, else through the host. Writing leaves one place current.

    Args:
        count: number of values.
        dtype: their type.

    Example:
        >>> from cafx.kernel.blob import HOST, SyncedArray
        >>> values = SyncedArray(3, "float32")
        >>> values.write(HOST)[...] = 2
        >>> values.is_current(HOST), values.version
        (True, 1)
        >>> values.zero()
        >>> values.read(HOST).tolist()
        [0.0, 0.0, 0.0]
    """

    __slots__ = (
        "__weakref__",
        "_arrays",
        "_attached",
        "_capacity",
        "_count",
        "_current",
        "_dtype",
        "_version",
        "_zero",
    )

    def __init__(self, count: int, dtype: npt.DTypeLike) -> None:
        self._count = count
        self._dtype = np.dtype(dtype)
        self._arrays: dict[Place, Any] = {}
        self._current: set[Place] = set()
        self._capacity: npt.NDArray[Any] | None = None
        self._attached = False
        self._version = 0
        self._zero = False

    @property
    def count(self) -> int:
        """Number of values."""
        return self._count

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self._dtype

    @property
    def nbytes(self) -> int:
        """Bytes of one copy of the values on the host."""
        return self._count * self._dtype.itemsize

    @property
    def version(self) -> int:
        """A number that grows with every write; equal numbers mean equal values."""
        return self._version

    @property
    def current(self) -> tuple[Place, ...]:
        """The places that hold the newest values; none before the first write."""
        return tuple(self._current)

    @property
    def is_zero(self) -> bool:
        """Whether the values are zeros that have not been written out yet."""
        return self._zero

    @property
    def is_attached(self) -> bool:
        """Whether some of its memory belongs to an arena or a pool."""
        return self._attached

    def is_current(self, place: Place) -> bool:
        """Whether ``place`` holds the newest values."""
        return place in self._current

    def holds(self, place: Place, array: Any) -> bool:
        """Whether the newest values are in this very array."""
        return place in self._current and self._arrays[place] is array

    def memory(self, place: Place) -> Any:
        """The array in ``place`` as it is, allocated if there is none: its values may be stale."""
        array = self._arrays.get(place)
        if array is None:
            array = self._host() if place is HOST else place.allocate(self._count, self._dtype)
            self._arrays[place] = array
        return array

    def read(self, place: Place) -> Any:
        """The array in ``place`` with the newest values, converted if it is not current."""
        if place in self._current:
            return self._arrays[place]
        array = self.memory(place)
        if self._zero:
            array[...] = 0
            self._zero = False
        elif self._current:
            self._convert(place, array)
        self._current.add(place)
        return array

    def write(self, place: Place) -> Any:
        """The array in ``place`` with the newest values, for changing: only this place stays current."""
        array = self.read(place)
        self._version += 1
        if len(self._current) > 1:
            self._current = {place}
        return array

    def mark_written(self, place: Place, array: Any = None) -> None:
        """Declare that new values were written in ``place``, which alone is current now.

        Args:
            place: where.
            array: the array they were written to, if it is not the one that ``memory(place)`` returned.
        """
        if array is not None:
            self._arrays[place] = array
        self._current = {place}
        self._version += 1
        self._zero = False

    def mark_current(self, place: Place, array: Any = None) -> None:
        """Declare that the newest values were copied to ``place``, besides where they are already.

        Args:
            place: where.
            array: as for `mark_written`.
        """
        if array is not None:
            self._arrays[place] = array
        self._current.add(place)
        self._zero = False

    @property
    def state(self) -> SyncedState:
        """Where the newest values are now, to be assumed again later."""
        return SyncedState({place: self._arrays[place] for place in self._current}, self._zero)

    def assume(self, state: SyncedState) -> None:
        """Declare that new values were written, and that they are where they were in an earlier state.

        For an engine that repeats recorded work: the device has written the arrays again, and
        nothing of it went through this object.

        Args:
            state: the state after the work when it was recorded.

        Example:
            >>> from cafx.kernel.blob import HOST, SyncedArray
            >>> values = SyncedArray(1, "float32")
            >>> values.write(HOST)[...] = 3
            >>> written = values.state
            >>> values.zero()
            >>> values.assume(written)
            >>> values.read(HOST).tolist(), values.is_zero
            ([3.0], False)
        """
        self._arrays.update(state.arrays)
        self._current = set(state.arrays)
        self._zero = state.is_zero
        self._version += 1

    def discard(self, place: Place | None = None) -> None:
        """Invalidate the values in every place (or in one), keep the memory."""
        if place is None:
            self._current = set()
            self._version += 1
            self._zero = False
        else:
            self._current.discard(place)

    def zero(self) -> None:
        """Set all values to zero; this is written out only where they are read before they are written."""
        self.discard()
        self._zero = True

    def release(self, place: Place) -> None:
        """Free the copy in ``place``; a later read converts it again from another one."""
        self._current.discard(place)
        self._arrays.pop(place, None)
        if place is HOST:
            self._capacity = None

    def attach(self, place: Place, array: Any, *, keep: bool) -> None:
        """Use ``array``, a slice of an arena or a pool, as the memory in ``place``.

        Args:
            place: the place ``array`` is in.
            array: the slice.
            keep: whether the values move there and other copies are dropped; otherwise the slice
                counts as stale.
        """
        if keep:
            if self._current:
                self._convert(place, array)
            self._arrays, self._current = {place: array}, {place} if self._current else set()
            self._capacity = None
        else:
            self._arrays[place] = array
            self._current.discard(place)
        self._attached = True

    def detach(self) -> None:
        """Leave arena and pools; the values are lost and memory is allocated at the next access."""
        if self._attached:
            self._arrays, self._current, self._attached = {}, set(), False

    def resize(self, count: int) -> None:
        """Hold ``count`` values. Host memory only grows, and values that still fit are kept."""
        if count == self._count:
            return
        self.detach()
        if self._current and HOST not in self._current:
            self.read(HOST)
        self._count, self._arrays, self._current = count, {}, set()

    def _host(self) -> npt.NDArray[Any]:
        kept = self._capacity
        if kept is None or kept.size < self._count:
            grown = HOST.allocate(self._count, self._dtype)
            if kept is not None:
                grown[: kept.size] = kept
            self._capacity = kept = grown
        return kept[: self._count]

    def _convert(self, place: Place, array: Any) -> None:
        """Fill ``array``, in ``place``, from a current copy."""
        if place in self._current:
            array[...] = self._arrays[place]
            return
        if any(place.convert(source, self._arrays[source], array) for source in self._current):
            return
        if place is HOST:
            source = next(iter(self._current))
            source.to_host(self._arrays[source], array)
        else:
            place.from_host(self.read(HOST), array)


def host_copy(array: SyncedArray) -> npt.NDArray[Any]:
    """The values of an array as a new flat NumPy array."""
    copy: npt.NDArray[Any] = array.read(HOST).copy()
    return copy
