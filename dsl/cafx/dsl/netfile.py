"""Loading a net.py: the solver or net it defines."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import ModuleType

from cafx.dsl.netspec import NetSpec
from cafx.dsl.place import short_path
from cafx.dsl.solverspec import SolverSpec
from cafx.kernel.errors import CafxError
from cafx.kernel.files import read_file

NET_NAMES = ("net", "n")
MODULE_PREFIX = "cafx_net_file_"


def load_python(path: str | Path) -> SolverSpec | NetSpec:
    """Run a net.py and return its ``solver`` or, if it defines none, its ``net`` (or ``n``).

    The file's folder is importable, as with ``python net.py``, but ``__name__`` differs: code under
    ``if __name__ == "__main__"`` does not run.

    Args:
        path: the file.

    Raises:
        CafxError: the file is missing, raises an error (with its line, and the error as cause), or
            defines neither a SolverSpec nor a NetSpec.

    >>> lines = ["from cafx.dsl import NetSpec, layers as L", "net = NetSpec('tiny')"]
    >>> _ = Path("net.py").write_text("\\n".join(lines))
    >>> load_python("net.py").to_proto().name
    'tiny'
    """
    names = vars(run_python(path))
    solver = names.get("solver")
    if isinstance(solver, SolverSpec):
        return solver
    if solver is not None:
        raise CafxError(
            "'solver' is not a solver", where=str(path), found=type(solver).__name__, expected="a cafx.dsl.SolverSpec"
        )
    nets = (names.get(name) for name in NET_NAMES)
    net = next((net for net in nets if isinstance(net, NetSpec)), None)
    if net is None:
        raise CafxError("defines no net", where=str(path), expected="solver = SolverSpec(…) or net = NetSpec()")
    return net


def run_python(path: str | Path) -> ModuleType:
    """Run a Python file as a new module.

    Args:
        path: the file.

    Raises:
        CafxError: the file is missing or raises an error; it names the line.
    """
    path = Path(path)
    text = read_file(path)
    module = ModuleType(MODULE_PREFIX + path.stem)
    module.__file__ = str(path)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules[module.__name__] = module
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)  # nosec B102  # the user's own program
    except (Exception, SystemExit) as error:  # user code may raise anything
        sys.modules.pop(module.__name__, None)
        raise _failure(error, path) from error
    return module


def _failure(error: BaseException, path: Path) -> CafxError:
    line = _line(error, path)
    if isinstance(error, CafxError):
        copy = CafxError(
            error.message, where=error.where, found=error.found, expected=error.expected, remedy=error.remedy
        )
        return copy if error.where and path.name in error.where else copy.at(line)
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    first = next(iter(message.strip().splitlines()), "")
    return CafxError(f"{type(error).__name__}: {first}" if first else type(error).__name__, where=line)


def _line(error: BaseException, path: Path) -> str:
    """``file:line`` of the innermost frame in the file or its folder."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{short_path(error.filename)}:{error.lineno}"
    folder = path.resolve().parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == str(path) or _is_in_folder(frame.filename, folder):
            return f"{short_path(frame.filename)}:{frame.lineno}"
    return str(path)


def _is_in_folder(filename: str, folder: Path) -> bool:
    path = Path(filename)
    return path.is_absolute() and folder in path.parents and "site-packages" not in path.parts
