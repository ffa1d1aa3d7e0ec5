"""The number of OpenMP threads that oneDNN uses."""

import ctypes
import functools
import os
import threading
from pathlib import Path
from typing import Any

import threadpoolctl

from .api.library import load

# The C library of GNU OpenMP; whichever copy libdnnl resolved is the one that counts.
GOMP = "libgomp.so.1"
_local = threading.local()


@functools.cache
def openmp() -> Any:
    """The OpenMP library that oneDNN runs on, or None."""
    load()  # so that the same copy of the library is found
    try:
        return ctypes.CDLL(GOMP)
    except OSError:
        return None


def get_threads() -> int:
    """Threads of the next parallel region started by the calling thread; 1 without OpenMP."""
    library = openmp()
    return int(library.omp_get_max_threads()) if library else 1


def set_threads(count: int) -> None:
    """Set the number of threads of the calling thread's parallel regions.

    OpenMP keeps the number per calling thread, and primitives are built for the number that holds
    when they are created: a thread must not run them with another.
    """
    if count < 1:
        raise ValueError(f"expected at least 1 thread; received {count}")
    library = openmp()
    if library:
        library.omp_set_num_threads(count)
    _local.count = count


def use_threads(count: int) -> None:
    """`set_threads`, unless the calling thread has that number already."""
    if getattr(_local, "count", None) != count:
        set_threads(count)


def physical_threads() -> int:
    """OMP_NUM_THREADS, else the number of physical cores this process may use."""
    stated = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(stated) if stated.isdigit() and int(stated) else _physical_cores()


def limit_blas(count: int) -> None:
    """Limit NumPy's matrix products, in layers that run as written, to ``count`` threads."""
    threadpoolctl.threadpool_limits(count, user_api="blas")


@functools.cache
def _physical_cores() -> int:
    """Distinct cores among the processors this process may run on."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = set()
    for processor in allowed:
        siblings = Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
        try:
            cores.add(siblings.read_text().strip())
        except OSError:
            cores.add(str(processor))
    return max(1, len(cores))
