"""Conformance cases of ``cafx upgrade``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cafx.conformance.kinds.command import CommandCase
from cafx.kernel import schema

NET = """name: "old" input: "data" input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1
layers { name: "relu" type: RELU bottom: "data" top: "relu" }
"""


def write_old(folder: Path) -> None:
    """Write a net in an earlier format, as text and binary, and a solver."""
    (folder / "net.prototxt").write_text(NET)
    (folder / "net.caffemodel").write_bytes(schema().parse_text(NET, "NetParameter").SerializeToString())
    (folder / "solver.prototxt").write_text('net: "net.prototxt" solver_type: ADAGRAD\n')


def cases() -> Iterable[CommandCase]:
    """Nets as text and binary, and a solver."""
    yield CommandCase("printed", ["net.prototxt"], write_old)
    yield CommandCase("text", ["net.prototxt", "new.prototxt"], write_old, ["new.prototxt"])
    yield CommandCase("binary", ["net.caffemodel", "new.caffemodel"], write_old, ["new.caffemodel"])
    yield CommandCase("solver", ["solver.prototxt"], write_old)
