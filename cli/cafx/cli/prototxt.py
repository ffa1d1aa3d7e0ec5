"""The prototxt of a net.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cafx.cli.files import is_python, is_solver, load_python_file
from cafx.kernel import CafxError, schema
from cafx.kernel.files import read_file

INLINE_NETS = ("net_param", "train_net_param", "test_net_param")
NET_PATHS = ("net", "train_net", "test_net")


def prototxt_of(path: str, part: str | None) -> str:
    """The prototxt of the solver or net that a net.py defines.

    Args:
        path: the net.py.
        part: ``"solver"``, ``"net"`` or None for whichever the file defines.

    Raises:
        CafxError: the file is not Python, or does not define that part.
    """
    if not is_python(path):
        raise CafxError(
            "is not a Python file", where=path, expected="a net.py", remedy="a prototxt needs no conversion"
        )
    message = load_python_file(path)
    _tell_local_layers(message)
    if part == "solver" and not is_solver(message):
        raise CafxError("defines no solver", where=path, remedy="omit --solver")
    if part == "net" and is_solver(message):
        return _net_prototxt(message, path)
    return schema().to_text(message)


def _tell_local_layers(message: Any) -> None:
    """Say which layer types are defined in Python files, without which the prototxt cannot be used."""
    from cafx.dsl import local_layers

    nets = [net for field in INLINE_NETS for net in _values(message, field)] if is_solver(message) else [message]
    found = {name: file for net in nets for name, file in local_layers(net).items()}
    for name, file in found.items():
        click.echo(
            f"note: layer type '{name}' is defined in {file}, which the prototxt needs: "
            f"use that file instead, or make a package of the layer ('cafx new layer {name}')",
            err=True,
        )


def _net_prototxt(solver: Any, path: str) -> str:
    """The solver's only net, inline or named by path."""
    inline = [net for field in INLINE_NETS for net in _values(solver, field)]
    paths = [name for field in NET_PATHS for name in _values(solver, field)]
    count = len(inline) + len(paths)
    if count != 1:
        remedy = "omit --net: the solver contains all its nets"
        raise CafxError(
            "the solver has no single net", where=path, found=f"{count} nets", expected="one", remedy=remedy
        )
    if inline:
        return schema().to_text(inline[0])
    relative = Path(path).parent / paths[0]
    return read_file(paths[0] if Path(paths[0]).exists() else relative).decode("utf-8", "replace")


def _values(message: Any, field: str) -> list[Any]:
    """The values that are set in a field, repeated or not."""
    value = getattr(message, field)
    if message.DESCRIPTOR.fields_by_name[field].is_repeated:
        return list(value)
    return [value] if message.HasField(field) else []
