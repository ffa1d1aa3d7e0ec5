"""Errors of plugins' code: where they happened and, for an exception that was not meant, in whose code."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from cafx.kernel.errors import CafxError
from cafx.kernel.registry import HERE, Registry


class PluginError(CafxError):
    """An exception that a plugin's code did not mean to raise, which is the cause."""


class _Conversion:
    """Whether such exceptions become PluginErrors."""

    enabled = True


@contextlib.contextmanager
def converted_crashes(enabled: bool) -> Iterator[None]:
    """Whether unmeant exceptions become PluginErrors within a ``with`` block, in all threads.

    Args:
        enabled: False for tests that tell errors that are meant from those that are not.
    """
    before, _Conversion.enabled = _Conversion.enabled, enabled
    try:
        yield
    finally:
        _Conversion.enabled = before


@contextlib.contextmanager
def locating(plugins: Registry, kind: str, name: str, where: str) -> Iterator[None]:
    """Around calls of a plugin's code: `raise_located` for whatever it raises, with the same arguments.

    Example:
        >>> from cafx.kernel import registry
        >>> with converted_crashes(True), locating(registry(), "policy", "inv", "solver"):
        ...     raise KeyError
        Traceback (most recent call last):
        cafx.kernel.crash.PluginError: solver: KeyError (this is a bug in cafx-policy-inv 0.1.0; --debug shows where)
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - third-party code may raise anything
        raise_located(error, plugins, kind, name, where)


def raise_located(error: Exception, plugins: Registry, kind: str, name: str, where: str) -> NoReturn:
    """Raise an exception of a plugin's code as an error that says where it happened.

    Args:
        error: the exception. One of the operating system, or the lack of memory, is raised as it is.
        plugins: where the plugin was found.
        kind, name: the plugin's.
        where: location for the error, e.g. ``layer 'conv1' (Convolution)``.

    Raises:
        CafxError: the same, with the location added.
        PluginError: for another exception; it names the distribution, and the line in its code.
    """
    if isinstance(error, CafxError):
        raise error.at(where)
    if isinstance(error, (OSError, MemoryError)) or not _Conversion.enabled:
        raise error
    plugin = plugins.find(kind, name)
    module = plugin.value.partition(":")[0].partition(".")[0]
    owner = name if plugin.distribution == HERE else f"{plugin.distribution} {plugin.version}"
    inside = [each for each in traceback.walk_tb(error.__traceback__) if _top_module(each[0]) == module]
    place = "".join(f", {Path(frame.f_code.co_filename).name}:{line}" for frame, line in inside[-1:])
    reason = f"{type(error).__name__}: {error}".strip(": ")
    raise PluginError(f"{reason} (this is a bug in {owner}{place}; --debug shows where)", where=where) from error


def _top_module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
