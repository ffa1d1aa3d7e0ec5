"""Session: one GPU as one engine uses it: stream, matrix products, kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

import numpy as np

from cafx.kernel import CafxError
from cafx_engine_cupy.cublas import Blas

NULL = np.intp(0)
"""A null pointer, as an argument of a kernel."""
BLOCK = 256
"""Threads of a block."""
BLOCKS_PER_MULTIPROCESSOR = 16
PRELUDE = "prelude.cuh"
Kernel = Callable[..., None]


def source(package: str, name: str) -> str:
    """The text of a kernel file in the folder ``kernels`` of a package."""
    return (resources.files(package) / "kernels" / name).read_text(encoding="utf-8")


class Session:
    """A stream of its own on one GPU, with what runs on it.

    Args:
        index: the GPU.
        tf32: whether float32 matrix products may round their operands to TF32.

    Attributes:
        cupy: the module; it is imported here, not before.
        device, stream: the GPU and the stream.
        multiprocessors: how many it has.
        blas: cuBLAS on this stream.

    Raises:
        CafxError: there is no GPU of that index.
    """

    def __init__(self, index: int, *, tf32: bool = False) -> None:
        import cupy

        self.cupy = cupy
        count = cupy.cuda.runtime.getDeviceCount()
        if not 0 <= index < count:
            expected = f"0 to {count - 1}" if count > 1 else "0, the only one"
            raise CafxError("no such GPU", found=index, expected=expected, remedy="list them with: cafx device")
        self.device = cupy.cuda.Device(index)
        self.device.use()
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.stream.use()
        self.multiprocessors: int = self.device.attributes["MultiProcessorCount"]
        self.blas = Blas(self.stream, tf32=tf32)
        self._modules: dict[Any, Any] = {}
        self._kernels: dict[Any, Kernel] = {}

    def use(self) -> None:
        """Make GPU and stream current in this thread: every entry from outside calls it first."""
        self.device.use()
        self.stream.use()

    def synchronize(self) -> None:
        """Wait until everything on the stream is done."""
        self.use()
        self.stream.synchronize()

    def kernel(self, package: str, files: str | tuple[str, ...], name: str, options: Sequence[str] = ()) -> Kernel:
        """A kernel of one of a package's files, compiled when it is first asked for.

        Args:
            package: the package.
            files: one or several files in its folder ``kernels``; this package's prelude is put before them.
            name: the kernel.
            options: macros, such as ``-DVEC=4``.

        Returns:
            A call that takes grid, block, arguments and ``shared_mem``.
        """
        key = package, files, name, tuple(options)
        if key not in self._kernels:
            names = (files,) if isinstance(files, str) else files
            self._kernels[key] = self._module(package, names, tuple(options)).get_function(name)
        return self._kernels[key]

    def _module(self, package: str, files: tuple[str, ...], options: tuple[str, ...]) -> Any:
        key = package, files, options
        if key not in self._modules:
            code = "".join([source(__package__, PRELUDE), *(source(package, file) for file in files)])
            self._modules[key] = self.cupy.RawModule(code=code, options=("--std=c++17", *options), backend="nvrtc")
        return self._modules[key]

    def grid(self, count: int) -> tuple[int]:
        """Blocks of a kernel that loops over ``count`` items, one per thread at a time."""
        return (max(1, min(-(-count // BLOCK), self.multiprocessors * BLOCKS_PER_MULTIPROCESSOR)),)

    def memory(self) -> tuple[int, int]:
        """Free and total bytes of the GPU."""
        free, total = self.device.mem_info
        return int(free), int(total)
