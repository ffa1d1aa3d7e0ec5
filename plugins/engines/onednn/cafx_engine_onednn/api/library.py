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
CPU = 1  # the engine kind
IN_ORDER = 1  # the stream flag
REMEDY = "pip install onednn-cpu-gomp"
SPIN_SETTINGS = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"
SPINS = "10000"
"""How often a thread of GNU OpenMP polls before it sleeps. Its default, 300,000, is no faster on an idle machine
and several times slower beside another busy process (tests/benchmarks/busy.py)."""


class DnnlError(CafxError):
    """A oneDNN call failed: where it happened, what was found, what was expected."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(found, where=where, expected=expected)


def candidates() -> Iterator[str]:
    """Where libdnnl may be, best first: the wheel's file, the environment's lib, the system's."""
    for name in DISTRIBUTIONS:
        try:
            files = metadata.files(name) or []
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name == SONAME:
                yield str(Path(str(file.locate())).resolve())
    beside = Path(sys.prefix, "lib", SONAME)
    if beside.exists():
        yield str(beside)
    yield SONAME


@contextlib.contextmanager
def bounded_spinning() -> Iterator[None]:
    """Limit OpenMP's busy waiting, unless the user has set it; OpenMP reads it as it is loaded."""
    if any(name in os.environ for name in SPIN_SETTINGS):
        yield
        return
    os.environ[SPIN_SETTINGS[0]] = SPINS
    try:
        yield
    finally:
        del os.environ[SPIN_SETTINGS[0]]


class Library:
    """A loaded libdnnl with typed functions, its CPU engine and its facts."""

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
        """Call a function that returns a status; anything but success raises `DnnlError`."""
        status = self.status(name, *arguments)
        if status:
            raise failure(where, name, status)

    def status(self, name: str, *arguments: Any) -> int:
        """Call a function that returns a status, for a caller that looks at it."""
        return int(self._functions[name](*arguments))

    def create(self, name: str, where: str, *arguments: Any) -> c_void_p:
        """Call a function whose first argument receives the new object's handle."""
        handle = c_void_p()
        self.call(name, where, byref(handle), *arguments)
        return handle

    def value(self, name: str, *arguments: Any) -> Any:
        """Call a function that returns a plain value."""
        return self._functions[name](*arguments)

    def destroyer(self, name: str) -> Callable[[c_void_p], int]:
        """The function that frees one kind of handle."""
        return self._functions[f"{name}_destroy"]

    @property
    def isa(self) -> int:
        """The instruction set oneDNN generates code for (see `constants.Isa`)."""
        return int(self.value("get_effective_cpu_isa"))

    @property
    def has_bf16(self) -> bool:
        """Whether the processor multiplies bfloat16 natively (AVX512-BF16 or AMX)."""
        return self.isa & Isa.AVX512_CORE_BF16 == Isa.AVX512_CORE_BF16

    @property
    def has_amx(self) -> bool:
        """Whether it multiplies whole tiles of bfloat16 at once, far faster than float32."""
        return self.isa & Isa.AVX512_CORE_AMX == Isa.AVX512_CORE_AMX


def failure(where: str, name: str, status: int) -> DnnlError:
    """The error for a status, in words."""
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
    """The process's libdnnl; raises `DnnlError` with every place tried and why it failed."""
    with _lock:
        found = _load()
    if isinstance(found, DnnlError):
        raise found
    return found


def unavailable() -> str | None:
    """Why oneDNN cannot be used here, or None where it can."""
    try:
        load()
    except DnnlError as error:
        return str(error)
    return None
