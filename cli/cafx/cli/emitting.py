"""What ``cafx emit`` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cafx.cli.sources import PYTHON, is_solver, load_python_file
from cafx.kernel import CafxError, schema
from cafx.kernel.schema import read_file

INLINE = ("net_param", "train_net_param", "test_net_param")
NAMED = ("net", "train_net", "test_net")


def text_of(path: str, what: str | None) -> str:
    """The prototxt of the net.py's solver, of its net, or of whichever it defines."""
    if Path(path).suffix != PYTHON:
        raise CafxError("is not Python", where=path, expected="a net.py", remedy="a prototxt needs no emitting")
    proto = load_python_file(path)
    if what == "solver" and not is_solver(proto):
        raise CafxError("defines no solver", where=path, remedy="leave --solver out")
    if what == "net" and is_solver(proto):
        return _net_text(proto, path)
    return schema().to_text(proto)


def _net_text(solver: Any, path: str) -> str:
    """The one net a solver holds or names."""
    inline = [net for field in INLINE for net in _stated(solver, field)]
    named = [name for field in NAMED for name in _stated(solver, field)]
    if len(inline) + len(named) != 1:
        raise CafxError(
            "defines more than one net", where=path, found=len(inline) + len(named), expected="one",
            remedy="leave --net out: the solver holds them all",
        )  # fmt: skip
    if inline:
        return schema().to_text(inline[0])
    beside = Path(path).parent / named[0]
    return read_file(named[0] if Path(named[0]).exists() else beside).decode("utf-8", "replace")


def _stated(proto: Any, field: str) -> list[Any]:
    value = getattr(proto, field)
    if proto.DESCRIPTOR.fields_by_name[field].is_repeated:
        return list(value)
    return [value] if proto.HasField(field) else []
