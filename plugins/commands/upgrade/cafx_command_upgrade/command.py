"""``cafx upgrade``: nets, solvers and weights files in Caffe's older formats."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from cafx.cli.options import dialect_option
from cafx.kernel import CafxError, Registry, registry
from cafx.kernel.files import atomic_write, read_file, sniff
from cafx.kernel.net import upgrade as upgrade_net
from cafx.kernel.schema import READ, Schema, schema
from cafx_command_upgrade.bvlc import to_bvlc

BVLC = "bvlc"
PROBE = 4096
"""Bytes that decide whether a file is binary."""
SHOWN = 60
"""Bytes of a text that errors show."""
BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")
FIRST_FIELD = re.compile(r"^\s*(\w+)\s*[:{<]", re.MULTILINE)
NET, SOLVER = "NetParameter", "SolverParameter"


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.argument("out", type=click.Path(dir_okay=False), required=False)
@click.option("--to", type=click.Choice([BVLC]), help="Use only fields and layers of BVLC's Caffe, without loss.")
@dialect_option
def upgrade(file: str, out: str | None, to: str | None) -> None:
    """Upgrade FILE to the current format, and print it or write it to OUT.

    FILE is the prototxt of a net or solver, or a binary net or weights file, for which OUT is required. With
    --to bvlc, fields and layers that a fork of Caffe added are rewritten as those of BVLC's Caffe; what cannot
    be rewritten without loss is listed, and nothing is written.

    \b
    Examples:
    cafx upgrade old_deploy.prototxt new_deploy.prototxt
    cafx upgrade old.caffemodel new.caffemodel
    cafx upgrade --to bvlc densenet.prototxt plain.prototxt
    """
    data = read_file(file)
    binary = bool(BINARY.search(data[:PROBE]))
    if binary and out is None:
        raise click.UsageError(f"{file} is binary: name an output file")
    plugins = registry()
    proto, changed = upgraded(data, binary, file, plugins)
    if to == BVLC:
        changed |= to_bvlc(proto, file, plugins)
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
        proto = _parsed(data, source, plugins)
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
            proto = upgrader().upgrade_solver(proto, source)
    return proto, proto != before or (not binary and _rewritten(text, composed))


def _rewritten(text: str, composed: Schema) -> bool:
    """Whether a prototxt names fields of dialects that are rewritten or dropped when it is read."""
    names = {each.name for each in composed.additions if each.effect.kind != READ}
    return bool(names & set(re.findall(r"\w+", text)))


def _parsed(data: bytes, source: str, plugins: Registry) -> Any:
    """A binary NetParameter, all of whose texts are UTF-8: protobuf checks them only when they are used, if at all."""
    try:
        proto = schema(plugins).parse_bytes(data, NET, source)
        bad = bad_text(proto)
    except UnicodeDecodeError as error:
        bad = error.object
    if bad is not None:
        raise CafxError(
            "holds a text that is not UTF-8",
            where=source,
            found=repr(bytes(bad[:SHOWN])),
            remedy="the file is damaged, or not of this kind: fetch or copy it again",
        )
    return proto


def bad_text(message: Any) -> bytes | None:
    """The first text in a message that is not UTF-8, as bytes; None if there is none.

    Raises:
        UnicodeDecodeError: likewise, for a text in a list.
    """
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.message_type:
            bad = next(filter(None, map(bad_text, values)), None)
        elif field.type == field.TYPE_STRING:
            bad = next((text for text in values if isinstance(text, bytes)), None)
        else:
            continue
        if bad is not None:
            return bad
    return None


def is_solver(text: str, plugins: Registry) -> bool:
    """Whether the first field of a prototxt belongs to solvers only."""
    first = FIRST_FIELD.search(re.sub(r"#[^\n]*", "", text))
    fields = [set(schema(plugins)[name].DESCRIPTOR.fields_by_name) for name in (SOLVER, NET)]
    return first is not None and first[1] in fields[0] - fields[1]
