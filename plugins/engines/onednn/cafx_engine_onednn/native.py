"""Code made by LLVM for the processor at hand, run on the threads that oneDNN uses."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from ctypes import CFUNCTYPE, c_int, c_uint, c_void_p, cast
from typing import Any

from .threads import openmp

EFFORT = 2
"""Of LLVM's: kernels are written the way they are to run, and more of it only takes time."""
NEEDED = ("avx2", "fma")
WIDE = "avx512f"
_lock = threading.Lock()


@functools.cache
def features() -> frozenset[str]:
    """What the processor can do, in LLVM's words."""
    import llvmlite.binding as llvm

    return frozenset(name for name, present in llvm.get_host_cpu_features().items() if present)


@functools.cache
def unavailable() -> str | None:
    """Why no code can be made or run here, or None."""
    try:
        found = features()
    except (ImportError, OSError, RuntimeError) as error:
        return f"llvmlite does not load: {error}"
    if not found.issuperset(NEEDED):
        return f"the processor lacks {', '.join(name for name in NEEDED if name not in found)}"
    if not hasattr(openmp(), "GOMP_parallel"):
        return "oneDNN's threads are not those of OpenMP"
    return None


def registers() -> int:
    """How many vectors of 16 values the processor holds at once."""
    return 32 if WIDE in features() else 8


@functools.cache
def symbol(name: str) -> int:
    """The address of one of OpenMP's functions."""
    address = cast(getattr(openmp(), name), c_void_p).value
    assert address
    return address


@functools.cache
def _engine() -> Any:
    """What holds all code, one a process."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())


def _machine() -> Any:
    import llvmlite.binding as llvm

    flags, name = llvm.get_host_cpu_features().flatten(), llvm.get_host_cpu_name()
    return llvm.Target.from_default_triple().create_target_machine(cpu=name, features=flags, opt=EFFORT)


def build(text: str, name: str) -> int:
    """The address of function ``name`` of a module in LLVM's text; it stays for the life of the process.

    Args:
        text: the module.
        name: the function's, like no other's.
    """
    import llvmlite.binding as llvm

    with _lock:
        engine, module = _engine(), llvm.parse_assembly(text)
        passes = llvm.create_pass_builder(_machine(), llvm.create_pipeline_tuning_options(speed_level=1))
        passes.getModulePassManager().run(module, passes)
        engine.add_module(module)
        engine.finalize_object()
        return int(engine.get_function_address(name))


@functools.cache
def parallel() -> Callable[[int, int, int, int], None]:
    """OpenMP's way to run a function of one pointer on several threads: function, pointer, threads, flags."""
    made: Callable[[int, int, int, int], None] = CFUNCTYPE(None, c_void_p, c_void_p, c_uint, c_int)(
        symbol("GOMP_parallel")
    )
    return made
