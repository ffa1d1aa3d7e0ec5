"""Requests to answers."""

from __future__ import annotations

import os
from typing import Any

from caffe.arguments import ArgumentError
from caffe.gateway import wire
from caffe.gateway.calls import CALLS
from caffe.gateway.handles import Handles, InterruptedByUserError, StaleError
from cafx.cli.streams import printable
from cafx.kernel import CafxError

IDENTIFIERS = {
    InterruptedByUserError: "caffe:interrupted",
    StaleError: "caffe:stale",
    ArgumentError: "caffe:argument",
    CafxError: "caffe:error",
}
"""MATLAB's identifiers of errors, the first that fits."""
OTHER = "caffe:python"
_process = Handles()


def call(request: bytes, handles: Handles = _process) -> bytes:
    """Answer a request.

    Args:
        request: a list of the call's name, the folder that relative paths are relative to, and arguments.
        handles: nets and solvers of the client (default: those of this process).

    Returns:
        A list of ``ok`` and results, or of ``error``, an identifier and a message.

    Example:
        >>> wire.decode(call(wire.encode(["version", "/"])))
        ['ok', '1.0.0']
        >>> wire.decode(call(wire.encode(["get_net", "/", "nowhere.prototxt", "test"])))[:2]
        ['error', 'caffe:error']
    """
    try:
        name, folder, *arguments = wire.decode(request)
        _enter(folder)
        return wire.encode(["ok", *CALLS[name](handles, *arguments)])
    except CafxError as error:
        identifier = next(each for kind, each in IDENTIFIERS.items() if isinstance(error, kind))
        return failure(identifier, str(error))
    except Exception as error:  # noqa: BLE001 - layers written in Python raise what they like, and the client goes on
        notes = getattr(error, "__notes__", ())
        return failure(OTHER, "\n".join([f"{type(error).__name__}: {error}", *notes]))


def failure(identifier: str, message: str) -> bytes:
    """The answer to a request that failed."""
    return wire.encode(["error", identifier, printable(message)])


def _enter(folder: Any) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise CafxError(f"cannot be entered: {error.strerror}", where=f"folder '{folder}'") from None
