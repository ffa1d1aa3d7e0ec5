"""CUDA C++ compiled for the host by g++."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

from .errors import CompileException

COMPILER = "g++"
SHIM = ("shim.h", "shim_functions.h")
FLAGS = ("-O1", "-std=c++17", "-w", "-fno-strict-aliasing", "-ffp-contract=off", "-fno-gnu-unique")
TIMEOUT = 300
MOST_THREADS = "1024"
BOUNDS = r"__launch_bounds__\s*\(([^)]*)\)"
KERNEL = re.compile(rf"__global__\s+(?:{BOUNDS}\s*)?(?:static\s+)?void\s+(?:{BOUNDS}\s*)?(\w+)\s*\(")
DYNAMIC = re.compile(
    r"extern\s+__shared__\s+(?:__align__\s*\(\s*\d+\s*\)\s*)?([A-Za-z_][\w:\s<>,]*?)\s+(\w+)\s*\[\s*\]\s*;"
)


def available() -> str | None:
    """Why kernels cannot be compiled here; None if they can."""
    return None if shutil.which(COMPILER) else f"the stand-in CUDA compiles kernels with {COMPILER}, which is not here"


def library(source: str, options: tuple[str, ...]) -> tuple[ctypes.PyDLL, tuple[str, ...]]:
    """Compile CUDA C++, or find it compiled.

    Args:
        source: the text.
        options: NVRTC's: ``-D`` and ``-U`` are passed on, the others mean nothing here.

    Returns:
        the library, and the names of its kernels.

    Raises:
        CompileException: g++ refuses it.
    """
    defines = tuple(option for option in options if option.startswith(("-D", "-U")))
    digest = hashlib.sha256("\0".join((source, shim(), *defines, *FLAGS)).encode()).hexdigest()[:32]
    path = cache() / f"{digest}.so"
    if not path.exists():
        compile_to(path, source, defines)
    loaded = ctypes.PyDLL(str(path))
    loaded.cafx__kernels.restype = ctypes.c_char_p
    return loaded, tuple(loaded.cafx__kernels().decode().split())


def kernels(text: str) -> dict[str, str]:
    """The kernels in a preprocessed text, and how many threads a block of theirs may have, as the text says it."""
    return {name: before or behind or MOST_THREADS for before, behind, name in KERNEL.findall(text)}


def translated(text: str) -> str:
    """A preprocessed text as C++ for the host, with a launcher for each kernel."""
    body = DYNAMIC.sub(r"\1* const \2 = reinterpret_cast<\1*>(cafx::shared);", text)
    found = kernels(text)
    launchers = "\n".join(f"CAFX_KERNEL({name}, {bound})" for name, bound in found.items())
    names = f'extern "C" const char* cafx__kernels() {{ return "{" ".join(found)}"; }}'
    return f'#include "shim.h"\n{body}\n#line 1 "launchers"\n{launchers}\n{names}\n'


@functools.cache
def shim() -> str:
    """What stands before each source."""
    return "".join(resources.files(__package__).joinpath(name).read_text("utf-8") for name in SHIM)


def cache() -> Path:
    """The folder of compiled libraries."""
    home = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(home) if home else Path.home() / ".cache") / "cafx" / "standin"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def compile_to(path: Path, source: str, defines: tuple[str, ...]) -> None:
    """Compile a source to a library at ``path``, which appears whole or not at all.

    The source is preprocessed alone, so that its kernels are seen as its macros make them.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        here = Path(folder)
        (here / "shim.h").write_text(shim(), "utf-8")
        (here / "kernel.cu").write_text(source, "utf-8")
        text = run(here, source, defines, "-E", "-D__global__=__global__", "-x", "c++", "kernel.cu")
        (here / "kernel.cpp").write_text(translated(text), "utf-8")
        run(here, source, (), "-shared", "-fPIC", "-o", "kernel.so", "kernel.cpp")
        (here / "kernel.so").replace(path)


def run(folder: Path, source: str, defines: tuple[str, ...], *arguments: str) -> str:
    """What g++ writes; CompileException if it fails."""
    command = [COMPILER, *FLAGS, *defines, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode:
        raise CompileException(done.stderr, source, "kernel.cu", defines)
    return done.stdout
