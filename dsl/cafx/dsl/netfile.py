"""Running a net.py: the solver or the net it defines."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import ModuleType

from cafx.dsl.netspec import NetSpec
from cafx.dsl.place import short_path
from cafx.dsl.solverspec import SolverSpec
from cafx.kernel.errors import CafxError
from cafx.kernel.schema import read_file

NET_NAMES = ("net", "n")
MODULE_PREFIX = "cafx_net_file_"


def load_python(path: str | Path) -> SolverSpec | NetSpec:
    """Run a net.py and return its ``solver`` or, if it defines none, its ``net`` (or ``n``).

    It runs as a module of its own whose folder is importable, as under ``python net.py``, but with
    another ``__name__``: what stands under ``if __name__ == "__main__"`` is left out.

    Raises:
        CafxError: the file is missing, raises (with the line in it, and the cause chained), or
            defines neither a SolverSpec nor a NetSpec.
    """
    names = vars(run_python(path))
    solver = names.get("solver")
    if isinstance(solver, SolverSpec):
        return solver
    if solver is not None:
        raise CafxError(
            "'solver' is not a solver", where=str(path), found=type(solver).__name__,
            expected="a cafx.dsl.SolverSpec",
        )  # fmt: skip
    nets = (names.get(name) for name in NET_NAMES)
    found = next((net for net in nets if isinstance(net, NetSpec)), None)
    if found is None:
        raise CafxError(
            "defines no net to work on", where=str(path), expected="solver = SolverSpec(…) or net = NetSpec()"
        )
    return found


def run_python(path: str | Path) -> ModuleType:
    """The module a Python file makes, run afresh; a failure in it is a CafxError with its line."""
    path = Path(path)
    text = read_file(path)
    module = ModuleType(MODULE_PREFIX + path.stem)
    module.__file__ = str(path)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules[module.__name__] = module
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)  # a net.py is the user's own program
    except (Exception, SystemExit) as error:  # whatever a person's file may raise
        sys.modules.pop(module.__name__, None)
        raise _failure(error, path) from error
    return module


def _failure(error: BaseException, path: Path) -> CafxError:
    line = _line(error, path)
    if isinstance(error, CafxError):
        text = CafxError(
            error.message, where=error.where, found=error.found, expected=error.expected, remedy=error.remedy
        )
        return text if error.where and path.name in error.where else text.at(line)
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    first = next(iter(said.strip().splitlines()), "")
    return CafxError(f"{type(error).__name__}: {first}" if first else type(error).__name__, where=line)


def _line(error: BaseException, path: Path) -> str:
    """``file:line`` of the innermost frame in the file or beside it."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{short_path(error.filename)}:{error.lineno}"
    folder = path.resolve().parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == str(path) or _beside(frame.filename, folder):
            return f"{short_path(frame.filename)}:{frame.lineno}"
    return str(path)


def _beside(filename: str, folder: Path) -> bool:
    within = Path(filename)
    return within.is_absolute() and folder in within.parents and "site-packages" not in within.parts
