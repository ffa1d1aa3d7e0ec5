"""What GPU software this machine has, found out without importing CuPy."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from typing import Any

import attrs

from cafx.kernel import registry

NEEDED = 13
"""Major version of CUDA that the wheels are built for."""
EXTRA = "cafx[cuda]"


@attrs.frozen
class Driver:
    """The NVIDIA driver.

    Attributes:
        version: the newest CUDA it supports, as (major, minor).
        gpus: how many GPUs it shows to this process.
    """

    version: tuple[int, int]
    gpus: int


def load_library() -> Any:
    """The driver's library; None where there is none."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


@functools.cache
def find_driver() -> Driver | None:
    """The driver, asked once per process; None where there is none."""
    library = load_library()
    if library is None:
        return None
    version, count = ctypes.c_int(), ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(version))
    if library.cuInit(0) == 0:
        library.cuDeviceGetCount(ctypes.byref(count))
    return Driver((version.value // 1000, version.value % 1000 // 10), count.value)


def missing(*modules: str) -> str | None:
    """Why CUDA cannot be used here, with the remedy; None if it can.

    Args:
        modules: Python modules that are needed.
    """
    driver = find_driver()
    if driver is None:
        return "no NVIDIA driver is installed (libcuda.so.1 is missing)"
    if not driver.gpus:
        return "the NVIDIA driver shows no GPU (see nvidia-smi, and CUDA_VISIBLE_DEVICES)"
    if driver.version[0] < NEEDED:
        found = ".".join(map(str, driver.version))
        return f"the NVIDIA driver supports CUDA {found}, and {NEEDED}.0 is needed: update the driver"
    for module in modules:
        if importlib.util.find_spec(module) is None:
            return f"the Python module '{module}' is missing: {registry().install_line(EXTRA)}"
    return None
