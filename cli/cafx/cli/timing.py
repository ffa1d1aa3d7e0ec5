"""``cafx time``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.options import (
    FILE,
    console,
    data_option,
    engine_options,
    json_option,
    listed,
    state_options,
    weights_option,
)  # fmt: skip

if TYPE_CHECKING:
    from rich.table import Table

    from cafx.cli.stopwatch import Row, Timed

WIDE, ROUND = 100, 10
NARROW = 76


@click.command()
@click.argument("model", type=FILE)
@weights_option
@click.option("--iterations", "-n", type=click.IntRange(1), default=50, show_default=True, help="Passes.")
@click.option("--warmup", type=click.IntRange(0), default=2, show_default=True, help="Passes not counted.")
@engine_options
@state_options("TRAIN")
@data_option
@json_option
def time(model: str, weights: tuple[str, ...], iterations: int, warmup: int, as_json: bool, **given: Any) -> None:
    """Time MODEL's forward and backward, layer by layer and in all.

    In TEST phase, or where nothing needs a gradient, the forward only. GFLOP/s count the products of
    convolutions and the like as their definition has them, in both directions; of peak is their share of
    what a large matrix product reaches on this machine in the same precision, above 100 % where a way
    with fewer products is taken; reorders are changes of memory layout: how many a pass, and the
    milliseconds they take. Layers that were fused share a line.
    """
    from cafx.cli.scoring import build
    from cafx.cli.stopwatch import measure

    with build(model, given.pop("phase"), weights=listed(weights), **given) as net:
        timed = measure(net, iterations, warmup)
    if as_json:
        click.echo(json.dumps(timed.summary()))
        return
    console().print(_table(timed, console().width), markup=False)
    told = f"{timed.forward + timed.backward:.3f} ms in all"
    if timed.peak:
        told += f"; peak, of a large matrix product: {timed.peak:.0f} GFLOP/s"
    console().print(told, markup=False, highlight=False)


def _table(timed: Timed, width: int) -> Table:
    """A line a step; where the console is narrow without the types, or with the times alone."""
    from rich import box
    from rich.table import Table

    title = f"{timed.net}: milliseconds a pass, mean of {timed.iterations}, engine {timed.engine}"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    wide = width >= WIDE
    for name in ("layer", "type", "routine") if wide else ("layer", "routine"):
        table.add_column(name, overflow="fold")
    for name in ("forward", "backward", "share", "GFLOP/s", "of peak", "reorders"):
        table.add_column(name, justify="right", no_wrap=True)
    shown = len(table.columns) if width >= NARROW else len(table.columns) - 3
    del table.columns[shown:]
    whole = timed.total()
    for row in timed.rows:
        table.add_row(*_cells(row, whole, wide=wide)[:shown])
    table.add_section()
    table.add_row(*_cells(whole, whole, wide=wide)[:shown])
    return table


def _cells(row: Row, whole: Row, *, wide: bool) -> list[str]:
    """One line: what it has none of is a dash."""
    spent, total = row.forward + row.backward, whole.forward + whole.backward
    return [
        row.name, *([row.type] if wide else []), row.routine,
        f"{row.forward:.3f}", f"{row.backward:.3f}" if row.backward else "-", f"{spent / total if total else 0:.1%}",
        "-" if row.gflops is None else f"{row.gflops:.0f}" if row.gflops >= ROUND else f"{row.gflops:.2g}",
        "-" if row.of_peak is None else f"{row.of_peak:.0%}",
        f"{row.reorders:.0f}: {row.reordering:.3f}" if row.reorders else "-",
    ]  # fmt: skip
