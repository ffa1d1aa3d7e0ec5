"""Operands: the kernel's arrays as the memory objects that prepared calls point at."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from cafx.kernel.blob import HOST, Place, SyncedArray

from .api.memory import Memory, MemoryDesc, aligned
from .layouts import Blocked, Conversion, place_of, reorders
from .planner import current


class Operand:
    """One array in one layout, held by one routine.

    Args:
        synced: the array.
        desc: the layout (and, for row-major memory, the shape) a primitive knows it by.
        own: keep memory of its own, apart from what other routines hold the same array in: for a
            layer in place whose backward needs what it overwrites.
        pinned: stay with the memory met first: what such a layer reads.
        alone: let go of the host's copy when this one is up to date, which then is made anew if read.
    """

    __slots__ = ("_reorder", "alone", "array", "desc", "memory", "own", "pinned", "place", "synced")

    def __init__(
        self, synced: SyncedArray, desc: MemoryDesc, *, own: bool = False, pinned: bool = False, alone: bool = False
    ) -> None:
        self.synced = synced
        self.alone = alone
        self.desc = desc
        self.place: Place = place_of(desc)
        self.own = own
        self.pinned = own or pinned
        self.array: Any = None
        self.memory: Any = None
        self._reorder: tuple[Any, Any, Conversion] | None = None

    def bind(self) -> Memory:
        """The memory object, made the first time."""
        first = self.memory is None
        held = self.array
        if first:
            held = None if self.own else self.synced.arrays.get(self.place)
        fresh = held is None
        if fresh:
            held = self._allocate()
            if self.own and self.place not in self.synced.current:
                self.synced.arrays[self.place] = held  # who is prepared after this one meets it
        if first:
            self._point(held)
        planner = current()
        if planner is not None:
            planner.note(self, held, fresh=fresh, first=first)
        memory: Memory = self.memory
        return memory

    def move(self, array: Any) -> None:
        """Leave provisional memory for its final place."""
        self._point(array)

    def window(self, desc: MemoryDesc) -> Memory:
        """A part of this memory, which follows it."""
        return self.bind().window(desc)

    def fresh(self) -> None:
        """Bring the memory up to date, if it is not."""
        synced = self.synced
        if self.place in synced.current and synced.arrays[self.place] is self.array:
            return
        if self.pinned:
            self._copy_in()
        else:
            self._follow()

    def wrote(self) -> None:
        """Say that this memory now holds the newest values."""
        synced = self.synced
        synced.arrays[self.place] = self.array
        synced.current = {self.place}
        synced.version += 1
        synced.zero = False

    def _allocate(self) -> Any:
        if self.own:
            if isinstance(self.place, Blocked):
                return self.place.allocate(self.synced.count, self.synced.dtype)
            return aligned(self.synced.nbytes).view(self.synced.dtype)
        return self.synced._array(self.place)

    def _point(self, array: npt.NDArray[Any]) -> None:
        self.array = array
        if self.memory is None:
            self.memory = Memory(self.desc, array)
        else:
            self.memory.rebind(array)

    def _follow(self) -> None:
        synced, place = self.synced, self.place
        source = None if place in synced.current else self._source()
        if source is None:
            held = synced.read(place)
        else:
            held = synced._array(place)
            self._convert(source, held)
            synced.current.add(place)
        if held is not self.array:
            self._point(held)
        if self.alone and not synced._bound and self.place is not HOST:
            synced.current.discard(HOST)
            for memory in (synced.arrays, synced._capacity):
                memory.pop(HOST, None)

    def _copy_in(self) -> None:
        source = self.place if self.place in self.synced.current else self._source()
        if source is None or source is HOST:
            host = self.synced.read(HOST)
            if isinstance(self.place, Blocked):
                self.place.from_host(host, self.array)
            else:
                self.array[...] = host
        else:
            self._convert(source, self.array)
        self.synced.arrays[self.place] = self.array
        self.synced.current.add(self.place)

    def _source(self) -> Place | None:
        """A current place one reorder away, without a detour by the host."""
        dims = self.desc.dims
        for place in self.synced.current:
            another = isinstance(place, Blocked) and place is not self.place
            if another and (self.place is HOST or getattr(place, "dims", None) == dims):
                return place
        return None

    def _convert(self, source: Place, target: Any) -> None:
        """Reorder; the call is prepared once for the same two arrays."""
        values = self.synced.arrays[source]
        if self._reorder is None or self._reorder[0] is not values or self._reorder[1] is not target:
            assert isinstance(source, Blocked)
            desc = self.place.desc if isinstance(self.place, Blocked) else source.plain
            call = reorders().call(Memory(source.desc, values), Memory(desc, target))
            self._reorder = values, target, call
        self._reorder[2]()
