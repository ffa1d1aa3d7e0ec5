"""Memory of processes that handle one image after another."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Numbers of mallopt's parameters in the GNU C library."""
KEPT, LARGEST = 512 << 20, 32 << 20


def keep_memory() -> None:
    """Let the C library keep the memory of freed images for the next ones.

    By default, it returns each block of more than 128 KB to the system, which then clears it before it is used again:
    for images of 256×256 this takes as long as writing them to a database. Other C libraries are left as they are.

    Example:
        >>> keep_memory()
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, KEPT)
