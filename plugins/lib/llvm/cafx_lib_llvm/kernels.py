"""Kernels: functions that write IR, and their compiled code."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec

import attrs
import numpy as np
import numpy.typing as npt

from cafx_lib_cache import Cache, default_folder
from cafx_lib_llvm import build
from cafx_lib_llvm.arguments import Arguments, flattened
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
        address: address of a C function that returns nothing; its first parameter points to the arguments.
        arguments: the record of these arguments.
    """

    address: int
    arguments: type[Arguments]

    def call(self, arguments: Arguments) -> KernelCall:
        """A call with these arguments, for a program.

        Raises:
            TypeError: the record is that of another kernel.
        """
        if type(arguments) is not self.arguments:
            raise TypeError(f"wrong arguments: got {type(arguments).__name__}, expected {self.arguments.__name__}")
        return KernelCall(self.address, arguments.pack())


class KernelFunction(Generic[P]):
    """The result of the decorator `kernel`: a function that returns compiled kernels."""

    def __init__(
        self, write: Callable[Concatenate[Emitter, P], None], arguments: type[Arguments], parameters: Sequence[Any]
    ) -> None:
        self._write, self._arguments, self._parameters = write, arguments, parameters
        self._signature = inspect.signature(write)
        self._source = source_hash(write.__module__)  # now, because files may change after they are imported
        self._calls: dict[Any, Kernel] = {}
        self._kernels: dict[tuple[Any, ...], Kernel] = {}
        functools.update_wrapper(self, write)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Kernel:
        """The compiled kernel for these parameters."""
        call = args, tuple(kwargs.items())
        if call not in self._calls:
            with _lock:
                self._calls[call] = self._once(*args, **kwargs)
        return self._calls[call]

    def _once(self, *args: P.args, **kwargs: P.kwargs) -> Kernel:
        """The same, for parameters that may be given by position or by name."""
        bound = self._signature.bind(None, *args, **kwargs)
        bound.apply_defaults()
        choice = tuple(bound.arguments.values())
        if choice not in self._kernels:
            self._kernels[choice] = self._load(choice, lambda e: self._write(e, *args, **kwargs))
        return self._kernels[choice]

    def _load(self, choice: tuple[Any, ...], write: Callable[[Emitter], None]) -> Kernel:
        key = self._key(choice)
        name = f"{self._write.__name__}_{key}"
        cache = Cache(default_folder("kernels") if self._source else None)
        code = cache.get(key)
        if code is None:
            emitter = Emitter(name, self._arguments, self._parameters)
            write(emitter)
            code = build.compile_ir(emitter.finish())
            cache.put(key, code)
        return Kernel(build.load(code, name), self._arguments)

    def _key(self, choice: tuple[Any, ...]) -> str:
        """A hash of everything that the compiled code depends on."""
        name = self._write.__module__, self._write.__qualname__
        parts = name, choice, flattened(self._arguments), self._source, build.target()
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def kernel(
    arguments: type[Arguments], *parameters: Any
) -> Callable[[Callable[Concatenate[Emitter, P], None]], KernelFunction[P]]:
    """Decorate a function that writes IR, so that it returns the compiled kernel.

    The function takes an `Emitter` and further parameters, which select one of several kernels. Each kernel
    is compiled at most once per process. Compiled code is kept on disk; the key of an entry consists of those
    parameters, the source files of the function's package and of this one, and `build.target`. So what the
    function writes must depend on nothing else: addresses, for example, must be arguments.

    Args:
        arguments: the record of the kernel's arguments.
        parameters: LLVM types of further parameters of the compiled function, for what differs from call
            to call.
    """
    return lambda write: KernelFunction(write, arguments, parameters)


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
