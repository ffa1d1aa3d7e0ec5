"""The number of OpenMP threads that oneDNN uses."""

import ctypes
import functools
from typing import Any

from .library import load

# The C library of GNU OpenMP; whichever copy libdnnl resolved is the one that counts.
GOMP = "libgomp.so.1"


@functools.cache
def _openmp() -> Any:
    load()  # so that the same copy of the library is found
    try:
        return ctypes.CDLL(GOMP)
    except OSError:
        return None


def get_threads() -> int:
    """Threads of the next parallel region started by the calling thread; 1 without OpenMP."""
    openmp = _openmp()
    return int(openmp.omp_get_max_threads()) if openmp else 1


def set_threads(count: int) -> None:
    """Set it. OpenMP keeps the number per calling thread, and primitives are built for the number
    that holds when they are created: every thread that builds or runs a net sets its own first.
    """
    if count < 1:
        raise ValueError(f"expected at least 1 thread; received {count}")
    openmp = _openmp()
    if openmp:
        openmp.omp_set_num_threads(count)
