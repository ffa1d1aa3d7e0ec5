"""SyncedArray: one array kept in one or more places."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel.blob.place import HOST, Place


class SyncedArray:
    """``count`` values in row-major order, in whichever places were read or written.

    Attributes:
        arrays: the memory in each place; ``current`` says which of them hold the newest values.
        version: a number that grows whenever the values may have changed.
        zero: the values are zero, but this is not written anywhere yet.
    """

    __slots__ = (
        "__weakref__", "_bound", "_capacity", "arrays", "count", "current", "dtype", "version", "zero",
    )  # fmt: skip

    def __init__(self, count: int, dtype: npt.DTypeLike) -> None:
        self.count = count
        self.dtype = np.dtype(dtype)
        self.arrays: dict[Place, Any] = {}
        self.current: set[Place] = set()
        self._capacity: dict[Place, Any] = {}
        self._bound = False
        self.version = 0
        self.zero = False

    def read(self, place: Place) -> Any:
        """The array in ``place``, brought up to date first if it is not current."""
        if place in self.current:
            return self.arrays[place]
        array = self._array(place)
        if self.zero:
            array[...] = 0
            self.zero = False
        elif self.current:
            array = self._convert(array, place)
            self.arrays[place] = array
        self.current.add(place)
        return array

    def write(self, place: Place) -> Any:
        """The array in ``place``, up to date, for changing: it is then the only current one."""
        array = self.read(place)
        self.version += 1
        if len(self.current) > 1:
            self.current = {place}
        return array

    def put(self, place: Place, array: Any, *also: Place) -> None:
        """Declare ``array`` the newest in ``place``; ``also`` names places that alias it."""
        self.arrays[place] = array
        self.current = {place, *also}
        self.version += 1
        self.zero = False

    def discard(self) -> None:
        """Forget the values, keep the memory: whoever writes next need not fetch them first."""
        self.current = set()
        self.version += 1
        self.zero = False

    def clear(self) -> None:
        """Hold zeros, written out where they are first read; who overwrites them saves that."""
        self.discard()
        self.zero = True

    def bind(self, place: Place, array: Any, *, keep: bool = True) -> None:
        """Live in ``array`` from now on (a slice of an arena or pool), carrying the values over."""
        if keep and self.current:
            array = self._carry(place, array)
            self.arrays, self.current = {place: array}, {place}
        else:
            self.arrays, self.current = {place: array}, set()
        self._capacity.clear()
        self._bound = True

    def unbind(self) -> None:
        """Leave a pool: memory of one's own is made at the next access."""
        if self._bound:
            self.arrays, self.current, self._bound = {}, set(), False

    def resize(self, count: int) -> None:
        """Hold ``count`` values. Host memory grows only, and what fits of its values is kept."""
        if count == self.count:
            return
        if self._bound:
            self.unbind()
        if self.current and HOST not in self.current:
            self.read(HOST)
        self.count, self.arrays, self.current = count, {}, set()

    @property
    def nbytes(self) -> int:
        """Bytes of one copy of the values."""
        return self.count * self.dtype.itemsize

    def _array(self, place: Place) -> Any:
        if place not in self.arrays:
            self.arrays[place] = self._host() if place is HOST else place.allocate(self.count, self.dtype)
        return self.arrays[place]

    def _host(self) -> npt.NDArray[Any]:
        kept = self._capacity.get(HOST)
        if kept is None or kept.size < self.count:
            grown = HOST.allocate(self.count, self.dtype)
            if kept is not None:
                grown[: kept.size] = kept
            self._capacity[HOST] = kept = grown
        view: npt.NDArray[Any] = kept[: self.count]
        return view

    def _convert(self, array: Any, place: Place) -> Any:
        if place is HOST:
            source = next(iter(self.current))
            source.to_host(self.arrays[source], array)
            return array
        return place.from_host(self.read(HOST), array)

    def _carry(self, place: Place, array: Any) -> Any:
        return place.from_host(self.read(HOST), array)


def host_copy(array: SyncedArray) -> npt.NDArray[Any]:
    """The values of an array as a new flat NumPy array."""
    copy: npt.NDArray[Any] = array.read(HOST).copy()
    return copy
