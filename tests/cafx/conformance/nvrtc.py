"""Compile CUDA C++ by NVRTC, which needs no GPU: kernels are checked on machines that have none."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

DISTRIBUTION = "nvidia-cuda-nvrtc"
LIBRARY = "libnvrtc.so."
SUCCESS = 0


class CompileError(AssertionError):
    """A source that does not compile; the message is NVRTC's log."""


@functools.cache
def load_library() -> Any:
    """NVRTC of the installed wheel; None where there is none."""
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return None
    paths = [Path(str(file.locate())) for file in files if file.name.startswith(LIBRARY)]
    if not paths:
        return None
    for builtins in paths[0].parent.glob("libnvrtc-builtins.so.*"):
        ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)  # which NVRTC looks for by its name alone
    return ctypes.CDLL(str(paths[0]))


def unavailable() -> str | None:
    """Why nothing can be compiled here; None if it can."""
    return None if load_library() else f"the wheel {DISTRIBUTION} is not installed"


@functools.cache
def architectures() -> tuple[int, ...]:
    """The compute capabilities NVRTC compiles for, such as 75 and 90."""
    library, count = load_library(), ctypes.c_int()
    library.nvrtcGetNumSupportedArchs(ctypes.byref(count))
    found = (ctypes.c_int * count.value)()
    library.nvrtcGetSupportedArchs(found)
    return tuple(found)


def compile_source(source: str, architecture: int, options: Sequence[str] = ()) -> int:
    """Compile a source to machine code.

    Args:
        source: CUDA C++ without headers.
        architecture: the compute capability, such as 90.
        options: further options, such as ``-DVEC=4``.

    Returns:
        The number of bytes of machine code.

    Raises:
        CompileError: it does not compile, or with warnings.
    """
    library, program, size = load_library(), ctypes.c_void_p(), ctypes.c_size_t()
    given = [f"--gpu-architecture=sm_{architecture}", "--std=c++17", *options]
    arguments = (ctypes.c_char_p * len(given))(*(option.encode() for option in given))
    library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
    try:
        status = library.nvrtcCompileProgram(program, len(given), arguments)
        log = _log(library, program)
        if status != SUCCESS or log:
            raise CompileError(f"{' '.join(given)}: status {status}\n{log}")
        library.nvrtcGetCUBINSize(program, ctypes.byref(size))
        return size.value
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _log(library: Any, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, text)
    return text.value.decode().strip()
