"""``cafx net``: layers, engines, shapes and memory of a net."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.options import FILE, data_option, engine_options, json_option, state_options, trust_option
from cafx.cli.streams import printable
from cafx.cli.tables import Column, fits, table
from cafx.cli.terminal import console

if TYPE_CHECKING:
    from cafx.cli.nets import Inspected

COMMON = ("routine", "place")
"""Columns that are in the title where all rows have the same."""
DROPPED = (*COMMON, "parameters", "memory")
"""Columns that are left out where all rows have the same."""
PAIRS = (("layer", "type"), ("routine", "place"), ("parameters", "memory"))
"""Columns that share one where there is no room for both."""
ARROW = "→ "
NOT_LOADED, UNKNOWN = "not loaded", "unknown"
"""In place of the routines of layers whose code is not run, and of what depends on it."""
UNITS = ("B", "KiB", "MiB", "GiB")
Shapes = dict[str, list[int] | None]


@click.command()
@click.argument("file", type=FILE)
@click.option("--keep-all", is_flag=True, help="Plan as if every blob is kept (no buffer sharing).")
@click.option("--all", "every", is_flag=True, help="Show automatic splits too.")
@engine_options
@state_options("TEST")
@data_option
@trust_option
@json_option
def net(file: str, keep_all: bool, every: bool, as_json: bool, **options: Any) -> None:
    """Show what runs the net in FILE: routine, place, shapes and memory of each layer.

    Python layers of a prototxt, and layers behind them, have no shapes: their modules are not imported, unless
    --trust says so. No file is written.

    \b
    Examples:
    cafx net deploy.prototxt
    cafx net net.py --phase TRAIN --engine onednn --json
    """
    from cafx.cli.nets import inspect_net
    from cafx.cli.program import describe

    inspected = inspect_net(file, options.pop("phase"), keep="all" if keep_all else "outputs", **options)
    with inspected.net as built:
        description = _with_unknown(describe(built), inspected)
    if as_json:
        click.echo(json.dumps(description))
        return
    _print_table(description, file, every=every)
    click.echo("\n".join(printable(line.replace("\n", " ")) for line in _footer(description, every=every)))


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


def _footer(description: dict[str, Any], *, every: bool) -> list[str]:
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
    hidden = 0 if every else len(description["layers"]) - len(without_splits(description["layers"]))
    lines += [f"automatic splits: {hidden}, shown by --all"] if hidden else []
    left_out = [row for row in description["layers"] if row["bytes"] is None]
    lines += [f"layer '{row['name']}' {row['note']}" for row in left_out if row["routine"] == NOT_LOADED]
    lines += [f"left out of these numbers: {', '.join(row['name'] for row in left_out)}"] if left_out else []
    return lines


def _print_table(description: dict[str, Any], file: str, *, every: bool) -> None:
    """One row per step, without automatic splits unless ``every``; what all rows have in common is in the title.

    Where the columns do not fit side by side, several values share a cell.
    """
    rows = description["layers"] if every else without_splits(description["layers"])
    columns = {each.title: each for each in _columns(rows)}
    common = {name: columns[name].cells[0] for name in COMMON if columns[name].is_constant and rows}
    facts = [description["phase"], f"engine {description['engine']}"]
    facts += [f"{name} {value}" for name, value in common.items() if value and value != description["engine"]]
    shown = [each for each in columns.values() if not (each.is_constant and each.title in DROPPED)]
    layouts = (shown, _stacked(shown, PAIRS), _stacked(shown, (*PAIRS, ("from", "to"))))
    width = console().width
    chosen = next((layout for layout in layouts if fits(layout, width)), layouts[-1])
    click.echo(printable(f"{description['name'] or file} ({', '.join(facts)})"))
    console().print(table(chosen, width))


def _columns(rows: list[dict[str, Any]]) -> list[Column]:
    return [
        Column.of("layer", [row["name"] for row in rows]),
        Column.of("type", [row["type"] for row in rows]),
        Column.of("routine", map(_routine, rows)),
        Column.of("place", [row["place"] for row in rows]),
        Column.of("from", [_blobs(row["bottoms"]) for row in rows]),
        Column.of("to", [_blobs(row["tops"]) for row in rows]),
        Column.of("parameters", [f"{row['parameters']:,}" if row["parameters"] else "" for row in rows], right=True),
        Column.of("memory", [_size(row["bytes"]) for row in rows], right=True),
    ]


def _stacked(columns: list[Column], pairs: tuple[tuple[str, str], ...]) -> list[Column]:
    """The columns with pairs of them below each other in one; a pair of blobs as ``from → to``."""
    made = {column.title: column for column in columns}
    for upper, lower in pairs:
        if upper not in made or lower not in made:
            continue
        first, second = made[upper], made.pop(lower)
        arrow = ARROW if upper == "from" else ""
        cells = [
            "\n".join(filter(None, (a, arrow + b if b else ""))) for a, b in zip(first.cells, second.cells, strict=True)
        ]
        title = f"{upper} {arrow}{lower}" if arrow else f"{upper}\n{lower}"
        made[upper] = Column(title, tuple(cells), first.right)
    return list(made.values())


def without_splits(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without automatic splits; who reads a split's top is shown to read the blob that it splits."""
    split = registry_split()
    origin = {top["name"]: row["bottoms"][0] for row in rows if is_automatic(row, split) for top in row["tops"]}
    return [
        {**row, "bottoms": [origin.get(blob["name"], blob) for blob in row["bottoms"]]}
        for row in rows
        if not is_automatic(row, split)
    ]


def registry_split() -> str:
    """The type of splits."""
    from cafx.kernel import registry
    from cafx.kernel.net import SPLIT_ROLE

    return str(registry().load("role", SPLIT_ROLE))


def is_automatic(row: dict[str, Any], split: str) -> bool:
    """Whether a row is a split that was inserted."""
    return bool(row["type"] == split and row["name"].endswith("_split"))


def _routine(row: dict[str, Any]) -> str:
    """What runs the row, and why nothing faster does."""
    detailed = row["note"] and row["routine"] != NOT_LOADED
    return f"{row['routine']} ({row['note']})" if detailed else str(row["routine"])


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
