"""Silence for C libraries that write to standard error, such as libpng about a damaged image."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

DESCRIPTOR = 2


class _Calls:
    """The calls that are under way, in all threads.

    Attributes:
        count: their number.
        kept: another descriptor of standard error meanwhile.
    """

    lock = threading.Lock()
    count = 0
    kept = -1


@contextmanager
def silent() -> Iterator[None]:
    """Within this context, what C code writes to descriptor 2 is discarded; several threads may be in it.

    Python's own messages must not be lost: where they go to descriptor 2 too, nothing is discarded. The
    command line gives them a descriptor of their own.
    """
    if not _is_apart():
        yield
        return
    with _Calls.lock:
        _Calls.count += 1
        if _Calls.count == 1:
            _Calls.kept = os.dup(DESCRIPTOR)
            target = os.open(os.devnull, os.O_WRONLY)
            os.dup2(target, DESCRIPTOR)
            os.close(target)
    try:
        yield
    finally:
        with _Calls.lock:
            _Calls.count -= 1
            if _Calls.count == 0:
                os.dup2(_Calls.kept, DESCRIPTOR)
                os.close(_Calls.kept)


def _is_apart() -> bool:
    """Whether Python's messages have another descriptor than those of C code."""
    try:
        return sys.stderr.fileno() != DESCRIPTOR
    except (AttributeError, OSError, ValueError):
        return False
