"""Turning exceptions of users' classes into errors that name layer, class and line."""

from __future__ import annotations

import traceback
from types import TracebackType

from cafx.kernel import CafxError, registry


class UserCodeError(CafxError):
    """An exception of a user's class, which is the cause, with the layer and the line that raised it."""


class Reporting:
    """A context manager that turns an exception into a `UserCodeError`; a CafxError keeps its type.

    Args:
        where: location of the layer.
        action: what is being done, such as ``"forward of module.Class"``.
    """

    def __init__(self, where: str, action: str) -> None:
        self.where = where
        self.action = action

    def __enter__(self) -> None:
        """Start."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Report an exception, SystemExit included; KeyboardInterrupt passes."""
        if isinstance(error, CafxError):
            error.at(self.where)
        elif error is not None and not isinstance(error, KeyboardInterrupt):
            message = f"{self.action} failed: {type(error).__name__}: {error}{_line(error)}"
            raise UserCodeError(message, where=self.where, remedy=_remedy(error)) from error


def _remedy(error: BaseException) -> str | None:
    if not isinstance(error, ModuleNotFoundError):
        return None
    put, hints = f"put '{error.name}' in the working directory or on PYTHONPATH", registry().hints()
    replaced = hints.remedy("module", str(error.name), ()) if hints else None
    if replaced:
        return f"{put}, or let layers of cafx replace it: {replaced}"
    return f"{put}, or install {'cafx-pycaffe' if error.name == 'caffe' else error.name}"


def _line(error: BaseException) -> str:
    """File and line where an exception was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
