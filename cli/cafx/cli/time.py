"""``cafx time``: timing a net layer by layer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.options import FILE, data_option, engine_options, json_option, split_commas, state_options, weights_option
from cafx.cli.terminal import console

if TYPE_CHECKING:
    from rich.table import Table

    from cafx.cli.timing import Row, Timing

RATES = ("GFLOP/s", "GB/s", "of bound", "reorders")
TYPE_WIDTH = 100
"""Console width from which the table has a column for the layer type."""
RATES_WIDTH = 84
"""Console width from which the table has the columns `RATES`."""
WHOLE_RATE = 10
"""Billions per second from which no decimals are printed."""


@click.command()
@click.argument("model", type=FILE)
@weights_option
@click.option(
    "--iterations",
    "-n",
    type=click.IntRange(1),
    metavar="N",
    default=50,
    show_default=True,
    help="Number of passes to time.",
)
@click.option(
    "--warmup", type=click.IntRange(0), metavar="N", default=2, show_default=True, help="Untimed warm-up passes."
)
@engine_options
@state_options("TRAIN")
@data_option
@json_option
def time(model: str, weights: tuple[str, ...], iterations: int, warmup: int, as_json: bool, **options: Any) -> None:
    """Time the forward and backward passes of MODEL, layer by layer and in total.

    In TEST phase, or if no layer needs a gradient, only the forward pass is timed. Fused layers share
    a line.

    GFLOP/s is computed from the layer's nominal multiply-adds, GB/s from its bottoms, tops and parameters, each read
    or written once. "of bound" compares the time with the least that this machine needs: for the arithmetic, at the
    rate of a large matrix product, or for the memory, at that of a large ReLU, whichever is longer. Winograd
    convolutions and small layers, which stay in caches, can exceed 100 %. "reorders": number and cost (in milliseconds)
    of memory-layout changes per pass. "compilation" is the time spent preparing the net for shapes that have changed
    since the pass before.

    \b
    Examples:
    cafx time train_val.prototxt
    cafx time deploy.prototxt --phase TEST --engine numpy --iterations 10
    """
    from cafx.cli.nets import build_net
    from cafx.cli.timing import measure

    with build_net(
        model, options.pop("phase"), weights=split_commas(weights), keep="outputs", trust=True, **options
    ) as net:
        timing = measure(net, iterations, warmup)
    if as_json:
        click.echo(json.dumps(timing.summary()))
        return
    console().print(_table(timing, console().width), markup=False)
    rates = f"large matrix product: {timing.peak:.0f} GFLOP/s; large ReLU: {timing.bandwidth:.1f} GB/s"
    console().print(f"total: {timing.forward + timing.backward:.3f} ms; {rates}", markup=False, highlight=False)


def _table(timing: Timing, width: int) -> Table:
    """One row per step; narrow consoles omit the layer type, then the rates."""
    from rich import box
    from rich.table import Table

    from cafx.cli.timing import Row

    title = f"{timing.net}: milliseconds per pass, mean of {timing.iterations}, engine {timing.engine}"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    with_type = width >= TYPE_WIDTH
    for name in ("layer", "type", "routine") if with_type else ("layer", "routine"):
        table.add_column(name, overflow="fold")
    for name in ("forward", "backward", "share", *(RATES if width >= RATES_WIDTH else ())):
        table.add_column(name, justify="right", no_wrap=True)
    shown = len(table.columns)
    total = timing.total()
    for row in timing.rows:
        table.add_row(*_cells(row, total, with_type=with_type)[:shown])
    if timing.compiling:
        row = Row("(compilation)", "", "", timing.compiling)
        table.add_row(*_cells(row, total, with_type=with_type)[:shown])
    table.add_section()
    table.add_row(*_cells(total, total, with_type=with_type)[:shown])
    return table


def _cells(row: Row, total: Row, *, with_type: bool) -> list[str]:
    """The cells of one row; a dash if a value does not apply."""
    spent, total_spent = row.forward + row.backward, total.forward + total.backward
    return [
        row.name,
        *([row.type] if with_type else []),
        row.routine,
        f"{row.forward:.3f}",
        f"{row.backward:.3f}" if row.backward else "-",
        f"{spent / total_spent if total_spent else 0:.1%}",
        _rate(row.gflops),
        _rate(row.gbytes),
        "-" if row.of_bound is None else f"{row.of_bound:.0%} {row.bound}",
        f"{row.reorders:.0f}: {row.reordering:.3f}" if row.reorders else "-",
    ]


def _rate(rate: float | None) -> str:
    """Billions per second."""
    return "-" if rate is None else f"{rate:.0f}" if rate >= WHOLE_RATE else f"{rate:.2g}"
