"""``cafx upgrade``: nets, solvers and weights files in Caffe's older formats."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from cafx.kernel import CafxError, Registry, registry
from cafx.kernel.files import atomic_write, read_file, sniff
from cafx.kernel.net import upgrade as upgrade_net
from cafx.kernel.schema import schema

PROBE = 4096
"""Bytes that decide whether a file is binary."""
BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")
FIRST_FIELD = re.compile(r"^\s*(\w+)\s*[:{<]", re.MULTILINE)
NET, SOLVER = "NetParameter", "SolverParameter"


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.argument("out", type=click.Path(dir_okay=False), required=False)
def upgrade(file: str, out: str | None) -> None:
    """Upgrade FILE to the current format, and print it or write it to OUT.

    FILE is the prototxt of a net or solver, or a binary net or weights file, for which OUT is required.

    \b
    Examples:
    cafx upgrade old_deploy.prototxt new_deploy.prototxt
    cafx upgrade old.caffemodel new.caffemodel
    """
    data = read_file(file)
    binary = bool(BINARY.search(data[:PROBE]))
    if binary and out is None:
        raise click.UsageError(f"{file} is binary: name an output file")
    plugins = registry()
    proto, changed = upgraded(data, binary, file, plugins)
    if out is None:
        click.echo(schema(plugins).to_text(proto), nl=False)
    else:
        with atomic_write(Path(out)) as target:
            target.write(proto.SerializeToString() if binary else schema(plugins).to_text(proto).encode())
    state = "upgraded" if changed else "already in the current format"
    click.echo(f"{file}: {state}" + (f", written to {out}" if out else ""), err=True)


def upgraded(data: bytes, binary: bool, source: str, plugins: Registry) -> tuple[Any, bool]:
    """Upgrade a net or solver.

    Args:
        data: contents of the file.
        binary: whether it is binary, else prototxt.
        source: the file, for errors.
        plugins: where upgrades are found.

    Returns:
        The upgraded message, and whether it differs from the original.

    Raises:
        CafxError: the file contains no net or solver.
    """
    composed = schema(plugins)
    if binary:
        proto = composed.parse_bytes(data, NET, source)
        if not (proto.layer or proto.layers or proto.input):
            raise CafxError("contains no layers", where=source, found=sniff(data), expected="a net or its weights")
    else:
        text = data.decode("utf-8", "replace")
        proto = composed.parse_text(text, SOLVER if is_solver(text, plugins) else NET, source)
    before = type(proto)()
    before.CopyFrom(proto)
    if proto.DESCRIPTOR.name == NET:
        proto = upgrade_net(proto, plugins, source)
    else:
        for _, upgrader in plugins.usable("upgrade"):
            proto = upgrader.upgrade_solver(proto, source)
    return proto, proto != before


def is_solver(text: str, plugins: Registry) -> bool:
    """Whether the first field of a prototxt belongs to solvers only."""
    first = FIRST_FIELD.search(re.sub(r"#[^\n]*", "", text))
    fields = [set(schema(plugins)[name].DESCRIPTOR.fields_by_name) for name in (SOLVER, NET)]
    return first is not None and first[1] in fields[0] - fields[1]
