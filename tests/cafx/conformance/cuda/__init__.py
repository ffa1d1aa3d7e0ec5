"""A stand-in for CUDA on machines without a GPU: CuPy over host memory, kernels compiled for the host.

It computes what a GPU computes, and is stricter where mistakes would show late or not at all:

- host and device arrays do not mix, and every read by the host is counted;
- a capture records addresses: memory that is freed before a launch, a first use inside a capture and a wait
  inside a capture are errors;
- a kernel's arguments must have its parameters' types, its threads must not wait for ever, and it must not write
  past an array's end; new and freed memory holds NaN.

Work is done at once, in the order it is asked for: streams never run ahead, so that a missing wait does not show.

Example:
    >>> from cafx.conformance.cuda import installed
    >>> with installed() as runtime:
    ...     import cupy
    ...     float((cupy.asarray([1.0, 2.0]) * 2).sum()), runtime.host_reads
    (6.0, 1)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from unittest import mock

from . import cudnn
from .compiler import available
from .cublas import Library
from .module import build
from .runtime import Runtime
from .state import current, enter, leave

__all__ = ["Runtime", "available", "current", "installed"]

CUBLAS_LOADER = "cafx_engine_cupy.cublas"
DRIVER = "cafx_engine_cupy.driver"


@contextmanager
def installed(memory: int = 2 << 30, devices: int = 1, *, reverse: bool = False) -> Iterator[Runtime]:
    """Install the stand-in as ``cupy`` and ``cudnn``, and in cuBLAS's place, for the time of the block.

    Args:
        memory: how many bytes the device has.
        devices: how many devices there are.
        reverse: whether a kernel's threads and blocks run from last to first.

    Yields:
        the runtime, whose counts and memory tests may look at.
    """
    runtime = Runtime(memory, devices, reverse=reverse)
    enter(runtime)
    try:
        modules: dict[str, ModuleType] = {**build(runtime), "cudnn": cudnn.module(runtime)}
        with importing(modules), found_by_the_engine(runtime):
            yield runtime
    finally:
        leave(runtime)


@contextmanager
def importing(modules: dict[str, ModuleType]) -> Iterator[None]:
    """Let ``import`` find these modules; what else is imported meanwhile stays."""
    before = {name: sys.modules.get(name) for name in modules}
    for name, shown in modules.items():
        shown.__spec__ = shown.__spec__ or ModuleSpec(name, None)  # what find_spec looks for
        sys.modules[name] = shown
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


@contextmanager
def found_by_the_engine(runtime: Runtime) -> Iterator[None]:
    """Let the GPU engine, where it is installed, find a driver, and the stand-in for cuBLAS."""
    if not importable(CUBLAS_LOADER):
        yield
        return
    driver, loader = import_module(DRIVER), import_module(CUBLAS_LOADER)
    present = driver.Driver((13, 0), runtime.devices)
    library = mock.patch.object(loader, "load_library", return_value=Library(runtime))
    with library, mock.patch.object(driver, "find_driver", return_value=present):
        yield


def importable(name: str) -> bool:
    """Whether there is a module of that name."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
