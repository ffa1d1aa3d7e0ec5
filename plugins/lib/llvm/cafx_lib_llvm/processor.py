"""The processor, and whether kernels can be compiled for it."""

from __future__ import annotations

import functools


@functools.cache
def features() -> frozenset[str]:
    """Features of the processor by LLVM's names, such as ``avx512f``.

    Raises:
        ImportError, OSError, RuntimeError: llvmlite cannot be loaded, or does not know the processor.
    """
    import llvmlite.binding as llvm

    return frozenset(name for name, present in llvm.get_host_cpu_features().items() if present)


@functools.cache
def unavailable() -> str | None:
    """The reason why kernels cannot be compiled here, or None."""
    try:
        features()
    except (ImportError, OSError, RuntimeError) as error:
        return f"llvmlite cannot be loaded: {error}"
    return None
