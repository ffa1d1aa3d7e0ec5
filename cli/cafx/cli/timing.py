"""``cafx time``."""

from __future__ import annotations

import json
from typing import Any

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

    In TEST phase, or where nothing needs a gradient, the forward only.
    """
    from cafx.cli.scoring import build
    from cafx.cli.stopwatch import measure

    with build(model, given.pop("phase"), weights=listed(weights), **given) as net:
        timed = measure(net, iterations, warmup)
    if as_json:
        click.echo(json.dumps(timed.summary()))
        return
    from rich.table import Table

    table = Table(title=f"{timed.net}: milliseconds a pass, mean of {iterations}, engine {timed.engine}")
    for name in ("layer", "type", "routine"):
        table.add_column(name, overflow="fold")
    for name in ("forward", "backward", "share"):
        table.add_column(name, justify="right")
    total = timed.forward + timed.backward
    for row in timed.rows:
        share = (row.forward + row.backward) / total if total else 0.0
        table.add_row(
            row.name, row.type, row.routine, f"{row.forward:.3f}",
            f"{row.backward:.3f}" if row.backward else "-", f"{share:.1%}",
        )  # fmt: skip
    table.add_section()
    table.add_row("total", "", "", f"{timed.forward:.3f}", f"{timed.backward:.3f}", f"{total:.3f} ms")
    console().print(table, markup=False)
