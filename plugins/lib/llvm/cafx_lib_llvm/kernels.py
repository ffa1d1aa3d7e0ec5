"""Kernels: functions that write IR, and what they are compiled to."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import attrs
import numpy as np
import numpy.typing as npt

from cafx_lib_llvm import build
from cafx_lib_llvm.arguments import Arguments, layout
from cafx_lib_llvm.cache import Cache, default_folder
from cafx_lib_llvm.emitter import Emitter

P = ParamSpec("P")
_lock = threading.RLock()


@attrs.frozen(eq=False)
class KernelCall:
    """A kernel's address and its arguments in memory."""

    address: int
    arguments: npt.NDArray[np.int64]


@attrs.frozen(eq=False)
class Kernel:
    """A compiled kernel.

    Attributes:
        address: of a C function without result. Its first parameter points at the arguments in memory.
        arguments: the record of these arguments.
    """

    address: int
    arguments: type[Arguments]

    def call(self, arguments: Arguments) -> KernelCall:
        """A call with these arguments, for a program.

        Raises:
            TypeError: the record is another kernel's.
        """
        if type(arguments) is not self.arguments:
            raise TypeError(f"expected {self.arguments.__name__}; received {type(arguments).__name__}")
        return KernelCall(self.address, arguments.pack())


def kernel(
    arguments: type[Arguments], *parameters: Any
) -> Callable[[Callable[Concatenate[Emitter, P], None]], Callable[P, Kernel]]:
    """Turn a function that writes IR into one that returns the compiled kernel.

    The function takes an `Emitter` and further parameters, which choose one of several kernels. Each kernel
    is compiled once per process at most. Compiled code is kept on disk; the key of an entry consists of those
    parameters, the source files of the function's package and of this one, and `build.target`. So what the
    function writes must depend on nothing else: addresses, for example, must be arguments.

    Args:
        arguments: the record of the kernel's arguments.
        parameters: LLVM types of further parameters of the compiled function, for what differs from call
            to call.
    """

    def decorate(write: Callable[Concatenate[Emitter, P], None]) -> Callable[P, Kernel]:
        source = source_hash(write.__module__)  # of the files as they are imported, which may change later
        signature = inspect.signature(write)
        kernels: dict[tuple[Any, ...], Kernel] = {}

        def compiled(*args: P.args, **kwargs: P.kwargs) -> Kernel:
            bound = signature.bind(None, *args, **kwargs)  # type: ignore[arg-type]
            bound.apply_defaults()
            choice = bound.args[1:]
            with _lock:
                if choice not in kernels:
                    parts = write.__module__, write.__qualname__, choice, layout(arguments), source, build.target()
                    key = hashlib.sha256(repr(parts).encode()).hexdigest()
                    name = f"{write.__name__}_{key}"

                    def make() -> bytes:
                        emitter = Emitter(name, arguments, parameters)
                        write(emitter, *args, **kwargs)
                        return build.compile_ir(emitter.finish())

                    code = Cache(default_folder()).get_or_make(key, make) if source else make()
                    kernels[choice] = Kernel(build.load(code, name), arguments)
                return kernels[choice]

        return functools.wraps(write)(compiled)

    return decorate


def source_hash(module: str) -> str:
    """A hash of the source files of a module's top-level package and of this one; empty where they are not found."""
    packages = sorted({module.partition(".")[0], __name__.partition(".")[0]})
    hashes = [_package_hash(package) for package in packages]
    return " ".join(hashes) if all(hashes) else ""


@functools.cache
def _package_hash(package: str) -> str:
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module run as a script
        return ""
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return ""
    origin = Path(spec.origin)
    files = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
    total = hashlib.sha256()
    for file in files:
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()
