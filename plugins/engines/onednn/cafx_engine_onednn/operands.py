"""Operands: the kernel's arrays as the memory objects that prepared calls point at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cafx.kernel.blob import HOST, Place, SyncedArray
from cafx.kernel.net import Use

from .api.memory import Memory, MemoryDesc, zeroed
from .layouts import Blocked, Conversion, place_of, reorders


class Operand(Use):
    """One array in one layout, as one routine uses it.

    It is declared first, so that memory can be planned, and bound to memory before its calls first run.

    Args:
        storage: the array.
        desc: the layout (and, for row-major memory, the shape) by which a primitive knows it.
        apart: keep its memory apart from what other routines hold the same array in: for a layer in
            place whose backward pass needs what it overwrites.
        pinned: copy newer values to its memory rather than move to theirs: what such a layer reads.
        sole: free the host's copy once this one is current; it is converted back if somebody reads it.
    """

    __slots__ = ("_reorder", "array", "desc", "memory", "pinned", "sole")

    def __init__(
        self, storage: SyncedArray, desc: MemoryDesc, *, apart: bool = False, pinned: bool = False, sole: bool = False
    ) -> None:
        super().__init__(storage, place_of(desc), apart)
        self.desc = desc
        self.pinned = apart or pinned
        self.sole = sole
        self.array: Any = None
        self.memory: Memory | None = None
        self._reorder: tuple[Any, Any, Conversion] | None = None

    @property
    def shareable(self) -> bool:
        """Not apart on the host, where layers as written do not know which of two arrays is meant."""
        return self.place.shareable and not (self.apart and self.place is HOST)

    def attach(self, array: Any) -> None:
        """Take a slice of a pool as the memory."""
        if not self.apart:
            super().attach(array)
        self.point(array)

    def bind(self) -> Memory:
        """The memory object; its bytes are allocated if nothing is attached."""
        if self.array is None:
            self.point(self._allocate())
        assert self.memory is not None
        return self.memory

    @property
    def version(self) -> int:
        """The array's: it grows with every write."""
        return self.storage.version

    def release(self) -> None:
        """Let go of the bytes; `bind` takes them, or others, again."""
        self.array = self._reorder = None
        if self.memory is not None:
            self.memory.release()

    def window(self, desc: MemoryDesc) -> Window:
        """A part of this memory, or all of it in another shape."""
        return Window(self, desc)

    def conversion_from(self, places: Mapping[Place, Any]) -> Conversion | None:
        """What `refresh` has called last, if that was a reorder of one of these arrays."""
        if self.pinned or self._reorder is None:
            return None
        values, target, conversion = self._reorder
        return conversion if target is self.array and any(values is each for each in places.values()) else None

    def refresh(self) -> None:
        """Bring the memory up to date."""
        if self.pinned:
            self._copy_in()
        else:
            self._follow()

    def _allocate(self) -> Any:
        if not self.apart:
            return self.storage.memory(self.place)
        if isinstance(self.place, Blocked):
            return self.place.allocate(self.storage.count, self.storage.dtype)
        return zeroed(self.storage.nbytes).view(self.storage.dtype)

    def point(self, array: Any) -> None:
        """Use an array as the memory."""
        self.array = array
        if self.memory is None:
            self.memory = Memory(self.desc, array)
        else:
            self.memory.rebind(array)

    def _follow(self) -> None:
        """Move to where the newest values are, or convert them to where this place keeps them."""
        storage, place = self.storage, self.place
        source = None if storage.is_current(place) else self._source()
        if source is None:
            array = storage.read(place)
        else:
            array = storage.memory(place)
            self._convert(source, array)
            storage.mark_current(place)
        if array is not self.array:
            self.point(array)
        if self.sole and not storage.is_attached and place is not HOST:
            storage.release(HOST)

    def _copy_in(self) -> None:
        """Copy the newest values to this memory, which stays where it is."""
        storage, place = self.storage, self.place
        source = place if storage.is_current(place) else self._source()
        if source is not None and source is not HOST:
            self._convert(source, self.array)
        elif isinstance(place, Blocked):
            place.from_host(storage.read(HOST), self.array)
        else:
            self.array[...] = storage.read(HOST)
        storage.mark_current(place, self.array)

    def _source(self) -> Place | None:
        """A current place from which one reorder leads here, without the host between."""
        for place in self.storage.current:
            other = isinstance(place, Blocked) and place is not self.place
            if other and (self.place is HOST or getattr(place, "dims", None) == self.desc.dims):
                return place
        return None

    def _convert(self, source: Place, target: Any) -> None:
        """Reorder; the call is prepared once for the same two arrays."""
        values = self.storage.read(source)
        if self._reorder is None or self._reorder[0] is not values or self._reorder[1] is not target:
            assert isinstance(source, Blocked)
            desc = self.place.desc if isinstance(self.place, Blocked) else source.plain
            call = reorders().call(Memory(source.desc, values), Memory(desc, target))
            self._reorder = values, target, call
        self._reorder[2]()


class Window:
    """A part of an operand's memory, or all of it in another shape.

    Args:
        operand: whose memory.
        desc: the part.
    """

    def __init__(self, operand: Operand, desc: MemoryDesc) -> None:
        self.operand, self.desc = operand, desc

    @property
    def version(self) -> int:
        """The operand's."""
        return self.operand.version

    def bind(self) -> Memory:
        """The memory object, which follows the operand's."""
        return self.operand.bind().window(self.desc)


Bindable = Operand | Window | Memory
"""What an argument of a call can be."""
