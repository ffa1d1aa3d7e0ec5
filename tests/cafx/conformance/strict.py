"""Strict passes: what a pass that an engine records and repeats must not do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TypeVar

import attrs

R = TypeVar("R")
_pass: ContextVar[str | None] = ContextVar("strict pass", default=None)


class StrictPassError(TypeError):
    """Raised where a strict pass does what recorded work cannot: what it is, and what to do instead."""


@attrs.define
class HostReads:
    """How often the host has read from the stand-in device: arrays copied back, and single values.

    Example:
        >>> from cafx.conformance.device import DeviceModule
        >>> before = host_reads.count
        >>> float(DeviceModule().ones(()))
        1.0
        >>> host_reads.count - before
        1
    """

    count: int = 0


host_reads = HostReads()


@contextlib.contextmanager
def strict(what: str) -> Iterator[None]:
    """Make the stand-in device strict within the block.

    Args:
        what: the pass, for errors: ``forward of layer 'ip1' (InnerProduct)``.

    Example:
        >>> from cafx.conformance.device import DeviceModule
        >>> values = DeviceModule().ones(())
        >>> with strict("forward of layer 'ip1' (InnerProduct)"):
        ...     float(values)
        Traceback (most recent call last):
            ...
        cafx.conformance.strict.StrictPassError: forward of layer 'ip1' (InnerProduct): float() cannot be \
recorded on a device: compute with self.xp, check with self.context.checks, or set capturable = False
    """
    token = _pass.set(what)
    try:
        yield
    finally:
        _pass.reset(token)


def refuse_in_strict_pass(operation: str, remedy: str) -> None:
    """Raise StrictPassError if a strict pass is running.

    Args:
        operation: what is refused.
        remedy: what to do instead.
    """
    where = _pass.get()
    if where is not None:
        raise StrictPassError(
            f"{where}: {operation} cannot be recorded on a device: {remedy}, or set capturable = False"
        )


def read_on_host(operation: str, read: Callable[[], R]) -> R:
    """Read from the device: counted, and refused in a strict pass.

    Args:
        operation: how the read is written.
        read: does it.
    """
    refuse_in_strict_pass(operation, "compute with self.xp, check with self.context.checks")
    host_reads.count += 1
    return read()
