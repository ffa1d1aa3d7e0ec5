"""``cafx net``: layers, engines, shapes and memory of a net."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.options import FILE, data_option, engine_options, json_option, state_options, trust_option
from cafx.cli.streams import printable
from cafx.cli.terminal import console, is_narrow

if TYPE_CHECKING:
    from rich.table import Table

    from cafx.cli.nets import Inspected

WIDE = ("", "layer", "type", "routine", "place", "from", "to", "parameters", "memory")
NARROW = ("layer", "routine", "from → to", "parameters")
NUMBERS = ("parameters", "memory")
NARROW_ROUTINE = 13
"""Columns of a routine's name in a narrow table; the rest is for blob names."""
NOT_LOADED, UNKNOWN = "not loaded", "unknown"
"""In place of the routines of layers whose code is not run, and of what depends on it."""
UNITS = ("B", "KiB", "MiB", "GiB")
Shapes = dict[str, list[int] | None]


@click.command()
@click.argument("file", type=FILE)
@click.option("--keep-all", is_flag=True, help="Plan as if every blob is kept (no buffer sharing).")
@engine_options
@state_options("TEST")
@data_option
@trust_option
@json_option
def net(file: str, keep_all: bool, as_json: bool, **options: Any) -> None:
    """Show what runs the net in FILE: routine, place, shapes and memory of each layer.

    Python layers of a prototxt, and layers behind them, have no shapes: their modules are not imported, unless
    --trust says so. No file is written.
    """
    from cafx.cli.nets import inspect_net
    from cafx.cli.program import describe

    inspected = inspect_net(file, options.pop("phase"), keep="all" if keep_all else "outputs", **options)
    with inspected.net as built:
        description = _with_unknown(describe(built), inspected)
    if as_json:
        click.echo(json.dumps(description))
        return
    console().print(_table(description, file), markup=False)
    click.echo("\n".join(printable(line.replace("\n", " ")) for line in _footer(description)))


def _with_unknown(description: dict[str, Any], inspected: Inspected) -> dict[str, Any]:
    """The description of the known layers, completed by rows for the layers that are not known."""
    if not inspected.left_out:
        return description
    layers, left_out = inspected.definition.layers, inspected.left_out
    known = [index for index in range(len(layers)) if index not in left_out]
    starts = [known[step.first] for step in inspected.net.program.steps]
    rows = dict(zip(starts, description["layers"], strict=True))
    shapes: Shapes = {name: list(blob.shape) for name, blob in inspected.net.blobs.items()}
    unread: dict[str, None] = {}
    for index, layer in enumerate(layers):
        if index in left_out:
            routine = NOT_LOADED if index in inspected.not_loaded else UNKNOWN
            rows[index] = _unknown_row(layer.proto, routine, left_out[index], shapes)
            shapes.update(dict.fromkeys(layer.proto.top))
        for bottom in layer.proto.bottom:
            unread.pop(bottom, None)
        unread.update(dict.fromkeys(layer.proto.top))
    return {**description, "layers": [rows[index] for index in sorted(rows)], "outputs": sorted(unread)}


def _unknown_row(proto: Any, routine: str, note: str, shapes: Shapes) -> dict[str, Any]:
    """The row of a layer that is not known."""
    return {
        "name": proto.name,
        "type": proto.type,
        "routine": routine,
        "note": note,
        "place": "",
        "backward": None,
        "bottoms": [{"name": name, "shape": shapes[name]} for name in proto.bottom],
        "tops": [{"name": name, "shape": None} for name in proto.top],
        "parameters": None,
        "parameter_shapes": None,
        "bytes": None,
    }


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
    left_out = [row for row in description["layers"] if row["bytes"] is None]
    lines += [f"layer '{row['name']}' {row['note']}" for row in left_out if row["routine"] == NOT_LOADED]
    lines += [f"left out of these numbers: {', '.join(row['name'] for row in left_out)}"] if left_out else []
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
        detailed = row["note"] and row["routine"] != NOT_LOADED
        routine = f"{row['routine']} ({row['note']})" if detailed else row["routine"]
        count = f"{row['parameters']:,}" if row["parameters"] else ""
        bottoms, tops, size = _blobs(row["bottoms"]), _blobs(row["tops"]), _size(row["bytes"])
        if narrow:
            blobs = "\n→ ".join(filter(None, (bottoms, tops)))
            table.add_row(f"{row['name']}\n{row['type']}", f"{routine}\n{row['place']}", blobs, f"{count}\n{size}")
        else:
            table.add_row(str(index), row["name"], row["type"], routine, row["place"], bottoms, tops, count, size)
    return table


def _size(count: int | None) -> str:
    return "" if count is None else size_text(count)


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
    return "\n".join(f"{row['name']} {_shape(row['shape'])}" for row in rows)


def _shape(lengths: list[int] | None) -> str:
    return UNKNOWN if lengths is None else "×".join(map(str, lengths)) or "scalar"
