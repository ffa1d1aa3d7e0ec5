"""``cafx net``: layers, engines, shapes and memory of a net."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.options import FILE, data_option, engine_options, json_option, state_options
from cafx.cli.streams import printable
from cafx.cli.terminal import console, is_narrow

if TYPE_CHECKING:
    from rich.table import Table

WIDE = ("", "layer", "type", "routine", "place", "from", "to", "parameters", "memory")
NARROW = ("layer", "routine", "from → to", "parameters")
NUMBERS = ("parameters", "memory")
NARROW_ROUTINE = 13
"""Columns of a routine's name in a narrow table; the rest is for blob names."""
UNITS = ("B", "KiB", "MiB", "GiB")


@click.command()
@click.argument("file", type=FILE)
@click.option("--keep-all", is_flag=True, help="Plan as if every blob is kept (no buffer sharing).")
@engine_options
@state_options("TEST")
@data_option
@json_option
def net(file: str, keep_all: bool, as_json: bool, **options: Any) -> None:
    """Show what runs the net in FILE: routine, place, shapes and memory of each layer."""
    from cafx.cli.nets import build_net
    from cafx.cli.program import describe

    with build_net(file, options.pop("phase"), keep="all" if keep_all else "outputs", **options) as built:
        description = describe(built)
    if as_json:
        click.echo(json.dumps(description))
        return
    console().print(_table(description, file), markup=False)
    click.echo(printable("\n".join(_footer(description))))


def _footer(description: dict[str, Any]) -> list[str]:
    memory = description["memory"]
    inputs, outputs = (", ".join(description[name]) or "none" for name in ("inputs", "outputs"))
    lines = [
        f"inputs: {inputs}; outputs: {outputs}",
        f"parameters: {description['parameters']:,} ({size_text(memory['parameters'])})",
        f"blobs: {size_text(memory['blobs'])}",
    ]
    if memory["pooled"]:
        kind = "activations" if description["phase"] == "TEST" else "activations and gradients"
        lines.append(f"{kind}: {size_text(memory['pooled'])}, {size_text(memory['pool'])} after sharing")
    lines.append(f"in use while passes run: {size_text(memory['total'])}")
    lines.append(f"conversions between layouts or places per pass: {memory['conversions']}")
    return lines


def _table(description: dict[str, Any], file: str) -> Table:
    """One row per step; in a narrow table, several values share a cell."""
    from rich.table import Table

    title = f"{description['name'] or file} ({description['phase']}, engine {description['engine']})"
    table, narrow = Table(title=title), is_narrow()
    for name in NARROW if narrow else WIDE:
        width = NARROW_ROUTINE if narrow and name == "routine" else None
        table.add_column(name, justify="right" if name in NUMBERS else "left", overflow="fold", max_width=width)
    for index, row in enumerate(description["layers"]):
        routine = f"{row['routine']} ({row['note']})" if row["note"] else row["routine"]
        count = f"{row['parameters']:,}" if row["parameters"] else ""
        bottoms, tops, size = _blobs(row["bottoms"]), _blobs(row["tops"]), size_text(row["bytes"])
        if narrow:
            blobs = "\n→ ".join(filter(None, (bottoms, tops)))
            table.add_row(f"{row['name']}\n{row['type']}", f"{routine}\n{row['place']}", blobs, f"{count}\n{size}")
        else:
            table.add_row(str(index), row["name"], row["type"], routine, row["place"], bottoms, tops, count, size)
    return table


def size_text(count: int) -> str:
    """A number of bytes with a binary unit.

    >>> size_text(1_572_864)
    '1.5 MiB'
    """
    size, unit = float(count), 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.{(0, 1, 1, 2)[unit]}f} {UNITS[unit]}"


def _blobs(rows: list[dict[str, Any]]) -> str:
    return "\n".join(f"{row['name']} {'×'.join(map(str, row['shape'])) or 'scalar'}" for row in rows)
