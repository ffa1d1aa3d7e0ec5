"""Whether kernels can be made for the processor at hand, and the threads of oneDNN that run them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from ctypes import CFUNCTYPE, c_int, c_uint, c_void_p, cast

import cafx_lib_llvm

from .threads import openmp

NEEDED = frozenset({"avx2", "fma"})
WIDE = "avx512f"


@functools.cache
def unavailable() -> str | None:
    """Why no code can be made or run here, or None."""
    reason: str | None = cafx_lib_llvm.unavailable()
    if reason:
        return reason
    if missing := NEEDED - cafx_lib_llvm.features():
        return f"the processor lacks {', '.join(sorted(missing))}"
    if not hasattr(openmp(), "GOMP_parallel"):
        return "oneDNN's threads are not those of OpenMP"
    return None


def registers() -> int:
    """How many vectors of 16 values the processor holds at once."""
    return 32 if WIDE in cafx_lib_llvm.features() else 8


@functools.cache
def symbol(name: str) -> int:
    """The address of one of OpenMP's functions."""
    address = cast(getattr(openmp(), name), c_void_p).value
    assert address
    return address


@functools.cache
def parallel() -> Callable[[int, int, int, int], None]:
    """OpenMP's way to run a function of one pointer on several threads: function, pointer, threads, flags."""
    made: Callable[[int, int, int, int], None] = CFUNCTYPE(None, c_void_p, c_void_p, c_uint, c_int)(
        symbol("GOMP_parallel")
    )
    return made
