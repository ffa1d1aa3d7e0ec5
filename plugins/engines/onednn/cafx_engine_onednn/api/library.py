"""Finding and loading libdnnl, and turning its status codes into errors."""

import contextlib
import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from ctypes import byref, c_void_p
from importlib import metadata
from pathlib import Path
from typing import Any

from cafx.kernel import CafxError

from ..api.constants import Isa, Status
from ..api.signatures import STATUS, VALUE, Version

SONAME = "libdnnl.so.3"
DISTRIBUTIONS = ("onednn-cpu-gomp", "onednn")
CPU = 1
"""Kind of engine: dnnl_cpu."""
REMEDY = "pip install onednn-cpu-gomp"
SPIN_SETTINGS = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"
SPINS = "20000"
"""Number of times an idle thread of GNU OpenMP polls before it sleeps. The default, 300,000, is no faster on an
idle machine and several times slower while another process is busy (tests/benchmarks/busy.py)."""


class DnnlError(CafxError):
    """A oneDNN call failed.

    Args:
        where: the primitive or memory concerned.
        found: what went wrong.
        expected: what was expected instead.
    """

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(found, where=where, expected=expected)


def candidates() -> Iterator[str]:
    """Paths to try for libdnnl, in order: the wheel's file, the environment's lib folder, the system's library."""
    for name in DISTRIBUTIONS:
        try:
            files = metadata.files(name) or []
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name == SONAME:
                yield str(Path(str(file.locate())).resolve())
    in_environment = Path(sys.prefix, "lib", SONAME)
    if in_environment.exists():
        yield str(in_environment)
    yield SONAME


@contextlib.contextmanager
def bounded_spinning() -> Iterator[None]:
    """Limit busy waiting of an OpenMP library loaded in this context, unless the user has configured it."""
    if any(name in os.environ for name in SPIN_SETTINGS):
        yield
        return
    os.environ[SPIN_SETTINGS[0]] = SPINS
    try:
        yield
    finally:
        del os.environ[SPIN_SETTINGS[0]]


class Library:
    """A loaded libdnnl: its functions with argument types, its CPU engine and its properties.

    Args:
        path: the shared library.

    Attributes:
        path: the shared library.
        version: major, minor and patch number.
        execute: the function ``dnnl_primitive_execute``.
        engine: handle of the CPU engine.

    Raises:
        OSError: the library cannot be loaded.
        AttributeError: it lacks a function.
        DnnlError: it is not oneDNN 3.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with bounded_spinning():
            self._dll = ctypes.CDLL(path)
        self._functions: dict[str, Callable[..., Any]] = {}
        for name, arguments in STATUS.items():
            self._declare(name, ctypes.c_int, arguments)
        for name, (result, arguments) in VALUE.items():
            self._declare(name, result, arguments)
        self.version = self._version()
        if self.version[0] != 3:
            found = ".".join(map(str, self.version))
            raise DnnlError(path, f"oneDNN {found}", "oneDNN 3")
        self.execute = self._functions["primitive_execute"]
        self.engine = self.create("engine_create", "CPU engine", CPU, 0)

    def _declare(self, name: str, result: type, arguments: tuple[type, ...]) -> None:
        function = getattr(self._dll, f"dnnl_{name}")
        function.restype = result
        function.argtypes = arguments
        self._functions[name] = function

    def _version(self) -> tuple[int, int, int]:
        function = self._dll.dnnl_version
        function.restype = ctypes.POINTER(Version)
        version = function().contents
        return version.major, version.minor, version.patch

    def call(self, name: str, where: str, *arguments: Any) -> None:
        """Call a function that returns a status, and check the status.

        Args:
            name: name of the function, without the prefix ``dnnl_``.
            where: the primitive or memory concerned, for errors.
            arguments: arguments of the function.

        Raises:
            DnnlError: the status is not success.
        """
        status = self.status(name, *arguments)
        if status:
            raise failure(where, name, status)

    def status(self, name: str, *arguments: Any) -> int:
        """Call a function and return its status; arguments as for `call`."""
        return int(self._functions[name](*arguments))

    def create(self, name: str, where: str, *arguments: Any) -> c_void_p:
        """Call a function that creates an object, and return the object's handle; arguments as for `call`.

        Raises:
            DnnlError: the status is not success.
        """
        handle = c_void_p()
        self.call(name, where, byref(handle), *arguments)
        return handle

    def value(self, name: str, *arguments: Any) -> Any:
        """Call a function that returns a value; arguments as for `call`."""
        return self._functions[name](*arguments)

    def destroyer(self, name: str) -> Callable[[c_void_p], int]:
        """The function that frees handles of one kind.

        Args:
            name: the kind, e.g. ``primitive``.
        """
        return self._functions[f"{name}_destroy"]

    @property
    def isa(self) -> int:
        """The instruction set that oneDNN generates code for, a value of `Isa`."""
        return int(self.value("get_effective_cpu_isa"))

    @property
    def has_bf16(self) -> bool:
        """Whether the processor has bfloat16 instructions (AVX512-BF16 or AMX)."""
        return self.isa & Isa.AVX512_CORE_BF16 == Isa.AVX512_CORE_BF16

    @property
    def has_amx(self) -> bool:
        """Whether the processor has AMX instructions, which multiply bfloat16 far faster than float32."""
        return self.isa & Isa.AVX512_CORE_AMX == Isa.AVX512_CORE_AMX


def failure(where: str, name: str, status: int) -> DnnlError:
    """The error for a status.

    Args:
        where: the primitive or memory concerned.
        name: name of the function, without the prefix ``dnnl_``.
        status: what the function returned.
    """
    try:
        word = Status(status).name.lower().replace("_", " ")
    except ValueError:
        word = f"status {status}"
    return DnnlError(where, f"{word} from dnnl_{name}", "success")


@functools.cache
def _load() -> Library | DnnlError:
    reasons = []
    for path in candidates():
        try:
            return Library(path)
        except (OSError, AttributeError, DnnlError) as error:
            reasons.append(f"{path}: {error}")
    return DnnlError("oneDNN", "; ".join(reasons), f"a loadable {SONAME} ({REMEDY})")


_lock = threading.Lock()


def load() -> Library:
    """Load libdnnl, once per process.

    Raises:
        DnnlError: it cannot be loaded; lists each path tried and the reason.
    """
    with _lock:
        library = _load()
    if isinstance(library, DnnlError):
        raise library
    return library


def unavailable() -> str | None:
    """Why oneDNN cannot be used on this machine, or None if it can."""
    try:
        load()
    except DnnlError as error:
        return str(error)
    return None
