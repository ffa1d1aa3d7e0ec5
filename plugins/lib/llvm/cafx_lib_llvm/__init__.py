"""JIT-compiled kernels: a builder of LLVM IR, a compiler for this processor and a cache on disk.

A kernel is a Python function that writes IR, decorated with `kernel`. Calling it compiles the IR, or
loads the compiled code from the cache, and returns a `Kernel`:

    @attrs.frozen(kw_only=True)
    class FillArguments(Arguments):
        vectors: int
        value: float

    @kernel(FillArguments, FLOATS)
    def fill(e: Emitter) -> None:
        (target,) = e.parameters
        with e.loop(e.arguments.vectors) as loop:
            e.store(e.splat(e.arguments.value), target, e.multiply(loop.index, LANES))

llvmlite is imported only when a name that needs it is used. `unavailable` says why it cannot be.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cafx_lib_llvm.arguments import Arguments
from cafx_lib_llvm.processor import features, unavailable

if TYPE_CHECKING:
    from cafx_lib_llvm.emitter import BYTES, FLOAT, FLOATS, INT, INTS, LANE, LANES, Emitter, Loop, Value
    from cafx_lib_llvm.kernels import Kernel, KernelCall, KernelFunction, kernel

__all__ = [
    "BYTES",
    "FLOAT",
    "FLOATS",
    "INT",
    "INTS",
    "LANE",
    "LANES",
    "Arguments",
    "Emitter",
    "Kernel",
    "KernelCall",
    "KernelFunction",
    "Loop",
    "Value",
    "features",
    "kernel",
    "unavailable",
]

_FROM_KERNELS = {"Kernel", "KernelCall", "KernelFunction", "kernel"}


def __getattr__(name: str) -> Any:
    """Import the modules that need llvmlite on first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{'kernels' if name in _FROM_KERNELS else 'emitter'}")
    return getattr(module, name)
