"""Operands: the kernel's arrays as a routine reads and writes them in its places."""

from __future__ import annotations

from typing import Any

from cafx.kernel.blob import Place, SyncedArray
from cafx.kernel.net import Use


class Operand(Use):
    """One array in one place, as one routine uses it.

    Args:
        storage: the array.
        place: where.
        apart: whether the routine writes it to memory apart from what others hold the same array in:
            for a layer in place whose backward pass needs what it overwrites.
    """

    __slots__ = ("array",)

    def __init__(self, storage: SyncedArray, place: Place, *, apart: bool = False) -> None:
        super().__init__(storage, place, apart)
        self.array: Any = None

    def attach(self, array: Any) -> None:
        """Take a slice of a pool as the memory."""
        if not self.apart:
            super().attach(array)
        self.array = array

    def release(self) -> None:
        """Let go of the memory."""
        self.array = None

    def read(self) -> Any:
        """The newest values, converted to the place if they are elsewhere."""
        self.array = self.storage.read(self.place)
        return self.array

    def kept(self) -> Any:
        """The array as the forward pass of the same routine read or wrote it."""
        return self.array if self.array is not None else self.read()

    def target(self) -> Any:
        """The array to write to, whose present values do not matter; `written` is to follow."""
        if self.array is None:
            apart = self.apart
            self.array = self.place.allocate(self.storage.count, self.storage.dtype) if apart else self._own()
        return self.array

    def _own(self) -> Any:
        return self.storage.memory(self.place)

    def written(self) -> None:
        """Declare that the newest values are in `target`."""
        self.storage.mark_written(self.place, self.array)
