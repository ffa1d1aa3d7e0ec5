"""File and line of the caller, for errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cafx.kernel.errors import UnknownNameError

_OWN_FOLDER = str(Path(__file__).parent) + os.sep


class NoSuchNameError(UnknownNameError, AttributeError, KeyError):
    """An unknown name, used as an attribute or a key: ``hasattr`` and ``in`` work as usual."""


def user_place() -> str:
    """``file:line`` of the innermost call from outside the DSL."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN_FOLDER):
        frame = frame.f_back
    return f"{short_path(frame.f_code.co_filename)}:{frame.f_lineno}"


def short_path(path: str) -> str:
    """A path relative to the working directory, if it is inside."""
    return path.removeprefix(str(Path.cwd()) + os.sep)
