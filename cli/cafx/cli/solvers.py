"""Loading the solver that a prototxt or net.py defines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cafx.cli.changes import apply_changes
from cafx.cli.files import NET, is_python, is_solver, load_python_file, parses_as
from cafx.kernel import CafxError, UnknownNameError, registry
from cafx.kernel.training import read_solver


def load_solver(path: str, changes: Sequence[str] = ()) -> Any:
    """The SolverParameter of a solver's prototxt or of a net.py.

    Args:
        path: the file.
        changes: ``FIELD=VALUE`` texts, as ``--set`` takes them.

    Raises:
        CafxError: the file defines no solver, or a change is invalid.
    """
    if not is_python(path):
        return apply_changes(_read_prototxt(path), changes)
    message = load_python_file(path)
    if not is_solver(message):
        raise CafxError(
            "defines no solver",
            where=path,
            expected="solver = SolverSpec(net=..., base_lr=..., ...)",
            remedy="a net without a solver can be inspected and timed (cafx net, cafx time), not trained",
        )
    return apply_changes(message, changes)


def _read_prototxt(path: str) -> Any:
    try:
        return read_solver(path, registry())
    except UnknownNameError as error:
        if parses_as(path, NET):
            error.remedy = "this is a net: name the prototxt of its solver, or score it with cafx test"
        raise
