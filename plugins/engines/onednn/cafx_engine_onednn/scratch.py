"""Scratch buffers of one net: memory that lasts for one call, shared by all who name it."""

from __future__ import annotations

import weakref

from .api.memory import Memory, MemoryDesc, zeroed
from .api.primitives import PrimitiveDesc, Scratchpad


class Scratch:
    """Named temporary buffers, and the scratchpad that the net's primitives share."""

    def __init__(self) -> None:
        self.scratchpad = Scratchpad()
        self._buffers: dict[str, tuple[object, weakref.WeakSet[Memory]]] = {}
        self._sizes: dict[str, int] = {}
        self._needed = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return sum(self._sizes.values()) + max(self.scratchpad.size, self._needed)

    def __call__(self, name: str, desc: MemoryDesc) -> Memory:
        """A buffer for one call. The same name gives the same bytes, grown as needed.

        Args:
            name: who shares it, such as ``"winograd.input"``.
            desc: the layout wanted.
        """
        array, memories = self._buffers.get(name, (None, weakref.WeakSet()))
        if array is None or self._sizes[name] < desc.size:
            array = zeroed(desc.size)
            for each in list(memories):
                each.rebind(array)
            self._buffers[name], self._sizes[name] = (array, memories), desc.size
        memory = Memory(desc, array)  # type: ignore[arg-type]
        memories.add(memory)
        return memory

    def floats(self, name: str, count: int) -> Memory:
        """A buffer of ``count`` float32 values."""
        return self(name, MemoryDesc.plain((count,)))

    def reserve(self, primitive: PrimitiveDesc) -> None:
        """Take note that a primitive will need the scratchpad."""
        self._needed = max(self._needed, primitive.scratchpad.size)

    def pad(self, primitive: PrimitiveDesc) -> dict[int, Memory]:
        """The scratchpad as an argument of a primitive; empty if it needs none."""
        return self.scratchpad.argument(primitive)
