"""Where new arrays get their memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .memory import MemoryPointer
from .runtime import Allocator
from .state import current


class DefaultPool:
    """What is known of the default allocator's memory."""

    def used_bytes(self) -> int:
        """Bytes that live arrays own."""
        return current().registry.used

    total_bytes = used_bytes

    def free_bytes(self) -> int:
        """Bytes kept for reuse: none."""
        return 0

    n_free_blocks = free_bytes

    def malloc(self, size: int) -> MemoryPointer:
        """Memory that is freed with the last array on it."""
        return current().allocate(size)

    def free_all_blocks(self, stream: Any = None) -> None:
        """Nothing: freed memory is not kept."""


def get_allocator() -> Allocator:
    """The allocator of new arrays."""
    runtime = current()
    return runtime.threads.allocator or runtime.allocator or runtime.allocate


def set_allocator(allocator: Allocator | None = None) -> None:
    """Set the allocator of new arrays, for all threads; the default one by default."""
    current().allocator = None if allocator == current().allocate else allocator


@contextmanager
def using_allocator(allocator: Allocator | None = None) -> Iterator[None]:
    """Set the allocator of new arrays for this thread."""
    threads = current().threads
    previous, threads.allocator = threads.allocator, allocator
    try:
        yield
    finally:
        threads.allocator = previous
