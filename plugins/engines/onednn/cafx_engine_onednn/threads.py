"""Number of OpenMP threads used by oneDNN."""

import ctypes
import functools
import os
import threading
from pathlib import Path
from typing import Any

import threadpoolctl

from .api.library import load

GOMP = "libgomp.so.1"
"""The C library of GNU OpenMP; loading libdnnl first makes sure that its copy is found."""
_local = threading.local()


@functools.cache
def openmp() -> Any:
    """The OpenMP library that oneDNN uses, or None if it is not GNU OpenMP."""
    load()  # before the lookup, so that it finds the copy loaded by libdnnl
    try:
        return ctypes.CDLL(GOMP)
    except OSError:
        return None


def get_threads() -> int:
    """Number of threads of the calling thread's parallel regions; 1 without OpenMP."""
    library = openmp()
    return int(library.omp_get_max_threads()) if library else 1


def set_threads(count: int) -> None:
    """Set the number of threads of the calling thread's parallel regions.

    OpenMP keeps one number per calling thread. A primitive is built for the number in effect when it is
    created, and must not be run with another.

    Args:
        count: number of threads, at least 1.

    Raises:
        ValueError: ``count`` is less than 1.
    """
    if count < 1:
        raise ValueError(f"wrong number of threads: got {count}, expected at least 1")
    library = openmp()
    if library:
        library.omp_set_num_threads(count)
    _local.count = count


def use_threads(count: int) -> None:
    """Call `set_threads` unless this number is already set.

    Args:
        count: number of threads, at least 1.
    """
    if getattr(_local, "count", None) != count:
        set_threads(count)


def used_threads() -> int:
    """The number set last in this thread; 0 if none has been set."""
    return int(getattr(_local, "count", 0))


def physical_threads() -> int:
    """The value of OMP_NUM_THREADS, or else the number of physical cores available to this process."""
    stated = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(stated) if stated.isdigit() and int(stated) else _physical_cores()


def limit_blas(count: int) -> None:
    """Limit the threads of NumPy's matrix products, which are used by layers that run as written.

    Args:
        count: largest number of threads.
    """
    threadpoolctl.threadpool_limits(count, user_api="blas")


@functools.cache
def _physical_cores() -> int:
    """Number of distinct cores among the logical processors available to this process."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = set()
    for processor in allowed:
        siblings = Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
        try:
            cores.add(siblings.read_text().strip())
        except OSError:
            cores.add(str(processor))
    return max(1, len(cores))
