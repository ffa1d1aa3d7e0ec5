"""Availability of JIT-compiled kernels, and the OpenMP functions that run them on oneDNN's threads."""

from __future__ import annotations

import functools
from collections.abc import Callable
from ctypes import CFUNCTYPE, c_int, c_uint, c_void_p, cast

import cafx_lib_llvm

from .threads import openmp

REQUIRED = frozenset({"avx2", "fma"})
AVX512 = "avx512f"


@functools.cache
def unavailable() -> str | None:
    """Why kernels cannot be compiled or run on this machine, or None if they can."""
    reason: str | None = cafx_lib_llvm.unavailable()
    if reason:
        return reason
    if missing := REQUIRED - cafx_lib_llvm.features():
        return f"the processor lacks {', '.join(sorted(missing))}"
    if not hasattr(openmp(), "GOMP_parallel"):
        return "oneDNN does not use GNU OpenMP"
    return None


def registers() -> int:
    """Number of vectors of 16 floats that fit into the processor's registers."""
    return 32 if AVX512 in cafx_lib_llvm.features() else 8


@functools.cache
def symbol(name: str) -> int:
    """The address of an OpenMP function.

    Args:
        name: name of the function, e.g. ``omp_get_thread_num``.
    """
    address = cast(getattr(openmp(), name), c_void_p).value
    assert address
    return address


@functools.cache
def parallel() -> Callable[[int, int, int, int], None]:
    """OpenMP's function ``GOMP_parallel``, which runs a function on several threads.

    Its arguments are the function's address, the pointer passed to it, the number of threads, and flags.
    """
    signature = CFUNCTYPE(None, c_void_p, c_void_p, c_uint, c_int)
    call: Callable[[int, int, int, int], None] = signature(symbol("GOMP_parallel"))
    return call
