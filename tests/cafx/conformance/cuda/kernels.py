"""RawModule and RawKernel: CUDA C++ that runs on the host."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .array import ndarray
from .compiler import library
from .errors import CUDADriverError, Deadlock
from .memory import MemoryPointer
from .state import current

INVALID_VALUE = 1
NOT_FOUND = 500
MOST_THREADS = 1024
MOST_SHARED = 48 << 10
MOST_SHARED_OPT_IN = 227 << 10
LIMITS = ((2**31 - 1, 65535, 65535), (1024, 1024, 64))
POINTER = ord("p")
FLOATING = ord("f")
KINDS = {"f": "a floating-point number", "i": "an integer", "u": "an unsigned integer", "b": "a bool", "p": "a pointer"}
MOST_PARAMETERS = 128
MOST_ALIGNMENT = 16
_modules = itertools.count()


class Parameter(NamedTuple):
    """A kernel's parameter, as shim.h describes it.

    Attributes:
        size: its bytes.
        kind: a key of KINDS, as a number, or that of "V" for a struct.
        target_size, target_kind: of the numbers that a pointer points at; 0 for anything else.
        target_alignment: what the address must be a multiple of.
    """

    size: int
    kind: int
    target_size: int
    target_kind: int
    target_alignment: int

    @property
    def is_pointer(self) -> bool:
        """Whether it is a pointer."""
        return self.kind == POINTER

    def __str__(self) -> str:
        return f"{KINDS.get(chr(self.kind), 'a struct')} of {self.size} bytes"


class RawModule:
    """A source of kernels.

    Args:
        code: CUDA C++ whose kernels are ``extern "C"``.
        options: NVRTC's.
        backend: "nvrtc".
    """

    def __init__(
        self,
        code: str | None = None,
        *,
        path: str | None = None,
        options: Sequence[str] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Sequence[str] | None = None,
        jitify: bool = False,
    ) -> None:
        if code is None or path is not None:
            raise NotImplementedError("the stand-in compiles source text: give code")
        if isinstance(options, str) or not all(isinstance(option, str) for option in options):
            raise TypeError("options must be a tuple of strings")
        self.code = code
        self.options = tuple(options)
        self.backend = backend
        self.name_expressions = name_expressions
        self._number = next(_modules)
        self._loaded: tuple[ctypes.PyDLL, tuple[str, ...]] | None = None
        self._kernels: dict[str, RawKernel] = {}

    def compile(self, log_stream: Any = None) -> None:
        """Compile it now rather than on first use."""
        if self._loaded is None:
            self._loaded = library(self.code, self.options)

    def get_function(self, name: str) -> RawKernel:
        """The kernel of that name.

        Raises:
            CUDADriverError: there is none.
        """
        found = self._kernels.get(name)
        if found is None:
            self.compile()
            assert self._loaded is not None
            if name not in self._loaded[1]:
                raise CUDADriverError(NOT_FOUND, name)
            found = self._kernels[name] = RawKernel(None, name, self.options)
            found.bind(self._loaded[0], self._number)
        return found


class RawKernel:
    """A kernel.

    Args:
        code: CUDA C++.
        name: which of its kernels.
        options: NVRTC's.
    """

    def __init__(
        self,
        code: str | None,
        name: str,
        options: Sequence[str] = (),
        backend: str = "nvrtc",
        *,
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        jitify: bool = False,
    ) -> None:
        self.code = code
        self.name = name
        self.options = tuple(options)
        self.backend = backend
        self.max_dynamic_shared_size_bytes = MOST_SHARED
        self._parameters: list[Parameter] | None = None
        self._most_threads = MOST_THREADS
        self._launch: Any = None
        self._key: tuple[str, int] = ("", 0)

    def compile(self, log_stream: Any = None) -> None:
        """Compile it now rather than on first use."""
        if self._parameters is None:
            assert self.code is not None
            loaded, names = library(self.code, self.options)
            if self.name not in names:
                raise CUDADriverError(NOT_FOUND, self.name)
            self.bind(loaded, next(_modules))

    def bind(self, loaded: ctypes.PyDLL, module: int) -> None:
        """Find its launcher in a library."""
        table = (ctypes.c_int * (len(Parameter._fields) * MOST_PARAMETERS))()
        rows = zip(*[iter(table)] * len(Parameter._fields), strict=True)
        arity = getattr(loaded, f"{self.name}__describe")(table)
        self._parameters = [Parameter(*row) for row in itertools.islice(rows, arity)]
        self._most_threads = getattr(loaded, f"{self.name}__bound")()
        self._launch = getattr(loaded, f"{self.name}__launch")
        self._launch.restype = ctypes.c_char_p
        self._key = (self.name, module)

    @property
    def attributes(self) -> dict[str, int]:
        """What the compiler knows of it."""
        self.compile()
        return {"max_threads_per_block": MOST_THREADS, "shared_size_bytes": 0, "num_regs": 32}

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
        """Launch it in the current stream.

        Args:
            grid: one to three numbers of blocks.
            block: one to three numbers of threads.
            args: device arrays for pointers, NumPy scalars for values of exactly the parameter's type.
            shared_mem: the bytes of its ``extern __shared__`` array.

        Raises:
            TypeError: the arguments are not the parameters'.
            CUDADriverError: the launch is larger than the hardware allows.
            Deadlock: its threads wait for one another for ever.
        """
        self.compile()
        runtime = current()
        size = self._size(grid, block, shared_mem)
        values, addresses = self._arguments(args)
        blocks = runtime.blocks(addresses, self.name)
        runtime.warm(self._key)
        launch, name = self._launch, self.name
        pointers = (ctypes.c_void_p * (len(values) + 1))(*map(ctypes.addressof, values))

        def work() -> None:
            runtime.launches += 1
            failure = launch(size, shared_mem, runtime.reverse, pointers)
            if failure:
                raise Deadlock(f"kernel {name}: {failure.decode()} (grid and block: {list(size)})")
            for block in blocks:
                block.check(f"kernel {name}")

        work.values = values  # type: ignore[attr-defined]  # the pointers' targets
        runtime.submit(work, addresses, name)

    def _size(self, grid: Any, block: Any, shared_mem: int) -> Any:
        sizes = []
        for given, limits in zip((grid, block), LIMITS, strict=True):
            lengths = [int(each) for each in (given if isinstance(given, (tuple, list)) else (given,))]
            lengths += [1] * (3 - len(lengths))
            if any(not 0 < length <= limit for length, limit in zip(lengths, limits, strict=True)):
                raise CUDADriverError(INVALID_VALUE, f"{self.name}: grid {grid}, block {block}")
            sizes += lengths
        if sizes[3] * sizes[4] * sizes[5] > self._most_threads:
            raise CUDADriverError(
                INVALID_VALUE, f"{self.name}: block {block} has more than {self._most_threads} threads"
            )
        if shared_mem > min(self.max_dynamic_shared_size_bytes, MOST_SHARED_OPT_IN):
            raise CUDADriverError(INVALID_VALUE, f"{self.name}: {shared_mem} bytes of shared memory")
        return (ctypes.c_uint * 6)(*sizes)

    def _arguments(self, args: Any) -> tuple[list[Any], list[tuple[int, int]]]:
        """The arguments as C values, and the addresses among them."""
        parameters = self._parameters
        assert parameters is not None
        if len(args) != len(parameters):
            raise TypeError(f"kernel {self.name}: {len(parameters)} parameters, {len(args)} arguments")
        values: list[Any] = []
        addresses: list[tuple[int, int]] = []
        for index, (arg, parameter) in enumerate(zip(args, parameters, strict=True)):
            on_device = type(arg) is ndarray or isinstance(arg, MemoryPointer)
            value = (self._pointer if on_device else self._scalar)(index, arg, parameter)
            if parameter.is_pointer and value.value:
                addresses.append((value.value, 1))
                if value.value % min(parameter.target_alignment, MOST_ALIGNMENT):
                    raise AssertionError(f"kernel {self.name}: parameter {index}: misaligned address")
            values.append(value)
        return values, addresses

    def _pointer(self, index: int, arg: Any, parameter: Parameter) -> Any:
        if not parameter.is_pointer:
            raise self._mismatch(index, f"is {parameter}, not an array")
        if isinstance(arg, MemoryPointer):
            return ctypes.c_void_p(arg.ptr)
        same = (parameter.target_kind == FLOATING) == (arg.dtype.kind == "f") and arg.itemsize == parameter.target_size
        if parameter.target_kind and arg.itemsize > 1 and not same:
            what = f"{KINDS[chr(parameter.target_kind)]} of {parameter.target_size} bytes"
            raise self._mismatch(index, f"points to {what}, not {arg.dtype}")
        return ctypes.c_void_p(arg.data.ptr)

    def _scalar(self, index: int, arg: Any, parameter: Parameter) -> Any:
        if isinstance(arg, np.ndarray):
            raise self._mismatch(index, "got a host array")
        value = np.asarray(np.intp(0) if arg is None else arg)
        if value.dtype.kind not in "biuf" or value.ndim:
            raise self._mismatch(index, f"got {type(arg)}")
        if value.itemsize != parameter.size or (parameter.kind == FLOATING) != (value.dtype.kind == "f"):
            raise self._mismatch(index, f"is {parameter}, not {value.dtype}")
        if parameter.is_pointer:
            return ctypes.c_void_p(int(value))
        return (ctypes.c_char * parameter.size).from_buffer_copy(value.tobytes())

    def _mismatch(self, index: int, what: str) -> TypeError:
        return TypeError(f"kernel {self.name}: parameter {index} {what}")
