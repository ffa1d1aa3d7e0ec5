"""Files named on the command line: a net.py, or the prototxt of a net or solver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cafx.kernel import CafxError, schema

PYTHON = ".py"
NET, SOLVER = "NetParameter", "SolverParameter"


def is_python(path: str) -> bool:
    """Whether a file is a net.py."""
    return Path(path).suffix == PYTHON


def load_python_file(path: str) -> Any:
    """The SolverParameter or NetParameter that a net.py defines.

    Raises:
        CafxError: the file is missing, raises an error, or defines neither.
    """
    if not Path(path).is_file():
        raise CafxError("no such file", where=path, remedy="check the path")
    from cafx.dsl import load_python

    return load_python(path).__proto__()


def is_solver(message: Any) -> bool:
    """Whether a message is a SolverParameter."""
    return bool(message.DESCRIPTOR.name == SOLVER)


def parses_as(path: str, message: str) -> bool:
    """Whether a prototxt parses as the named message."""
    try:
        schema().read_text(path, message)
    except CafxError:
        return False
    return True
