"""``cafx net``."""

from __future__ import annotations

import json
from typing import Any

import click

from cafx.cli.options import FILE, console, data_option, engine_options, json_option, narrow, state_options


@click.command()
@click.argument("file", type=FILE)
@click.option("--keep-all", is_flag=True, help="As where every blob keeps its values: no memory is shared.")
@engine_options
@state_options("TEST")
@data_option
@json_option
def net(file: str, keep_all: bool, as_json: bool, **given: Any) -> None:
    """Show the schedule of the net in FILE: what runs each layer, where, on which shapes."""
    from cafx.cli.description import describe
    from cafx.cli.scoring import build

    with build(file, given.pop("phase"), keep="all" if keep_all else "outputs", **given) as built:
        described = describe(built)
    if as_json:
        click.echo(json.dumps(described))
        return
    from rich.table import Table

    table = Table(title=f"{described['name'] or file} ({described['phase']}, engine {described['engine']})")
    _fill(table, described["layers"], folded=narrow())
    console().print(table, markup=False)
    memory = described["memory"]
    lines = [
        f"inputs: {', '.join(described['inputs']) or 'none'}; outputs: {', '.join(described['outputs']) or 'none'}",
        f"parameters: {described['parameters']:,} ({size_text(memory['parameters'])})",
        f"blobs: {size_text(memory['blobs'])}",
    ]
    if memory["pooled"]:
        kind = "activations" if described["phase"] == "TEST" else "gradients"
        lines.append(f"{kind}: {size_text(memory['pooled'])} share {size_text(memory['pool'])}")
    click.echo("\n".join(lines))


WIDE = ("", "layer", "type", "routine", "place", "from", "to", "parameters", "memory")
FOLDED = ("layer", "routine", "from → to", "parameters")
FOLDED_ROUTINE = 13  # columns, so that the blobs' names have theirs


def _fill(table: Any, rows: list[dict[str, Any]], folded: bool) -> None:
    """A row a step; ``folded``, values share cells, one above the other."""
    for name in FOLDED if folded else WIDE:
        side = "right" if name in ("parameters", "memory") else "left"
        width = FOLDED_ROUTINE if folded and name == "routine" else None
        table.add_column(name, justify=side, overflow="fold", max_width=width)
    for index, row in enumerate(rows):
        routine = f"{row['routine']} ({row['note']})" if row["note"] else row["routine"]
        count = f"{row['parameters']:,}" if row["parameters"] else ""
        bottoms, tops, size = _blobs(row["bottoms"]), _blobs(row["tops"]), size_text(row["bytes"])
        if folded:
            through = "\n→ ".join(filter(None, (bottoms, tops)))
            table.add_row(f"{row['name']}\n{row['type']}", f"{routine}\n{row['place']}", through, f"{count}\n{size}")
        else:
            table.add_row(str(index), row["name"], row["type"], routine, row["place"], bottoms, tops, count, size)


def size_text(count: int) -> str:
    """``1.5 MiB``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


def _blobs(rows: list[dict[str, Any]]) -> str:
    return "\n".join(f"{row['name']} {'×'.join(map(str, row['shape'])) or 'scalar'}" for row in rows)
