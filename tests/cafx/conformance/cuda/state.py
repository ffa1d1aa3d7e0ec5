"""The device that is installed at present."""

from __future__ import annotations

from .runtime import Runtime

_installed: list[Runtime] = []


def current() -> Runtime:
    """The runtime of the innermost ``installed()``; RuntimeError outside."""
    if not _installed:
        raise RuntimeError("no stand-in CUDA is installed: use cafx.conformance.cuda.installed()")
    return _installed[-1]


def enter(runtime: Runtime) -> None:
    """Make a runtime the current one."""
    _installed.append(runtime)


def leave(runtime: Runtime) -> None:
    """Go back to the one before."""
    _installed.remove(runtime)
