"""Exceptions of layers written in Python: passed on as they were raised, as pycaffe does."""

from __future__ import annotations

from types import TracebackType

from cafx_layer_python import UserCodeError


class own_exceptions:  # noqa: N801 - used like a function
    """A context manager that raises the exception of a user's layer in place of the CafxError that reports it.

    The exception keeps its type, value and traceback; the report, which names layer and line, is added as a note.
    """

    def __enter__(self) -> None:
        """Start."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise the cause of a `UserCodeError`; SystemExit, which would end the process, stays one."""
        if isinstance(error, UserCodeError) and isinstance(error.__cause__, Exception):
            cause = error.__cause__
            cause.add_note(f"cafx: {error}")
            raise cause from cause.__cause__
