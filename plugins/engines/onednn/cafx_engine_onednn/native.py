"""Whether JIT-compiled kernels can run here, and oneDNN's OpenMP threads, which run them."""

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
    """The reason why kernels cannot be compiled or run here, or None."""
    reason: str | None = cafx_lib_llvm.unavailable()
    if reason:
        return reason
    if missing := REQUIRED - cafx_lib_llvm.features():
        return f"the processor lacks {', '.join(sorted(missing))}"
    if not hasattr(openmp(), "GOMP_parallel"):
        return "oneDNN's threads are not GNU OpenMP's"
    return None


def registers() -> int:
    """How many vectors of 16 floats fit into the processor's registers."""
    return 32 if AVX512 in cafx_lib_llvm.features() else 8


@functools.cache
def symbol(name: str) -> int:
    """The address of one of OpenMP's functions."""
    address = cast(getattr(openmp(), name), c_void_p).value
    assert address
    return address


@functools.cache
def parallel() -> Callable[[int, int, int, int], None]:
    """OpenMP's call of a function on several threads.

    Its arguments are the function's address, the pointer passed to it, the number of threads, and flags.
    """
    signature = CFUNCTYPE(None, c_void_p, c_void_p, c_uint, c_int)
    call: Callable[[int, int, int, int], None] = signature(symbol("GOMP_parallel"))
    return call
