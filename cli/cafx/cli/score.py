"""``cafx test``."""

from __future__ import annotations

import json
from typing import Any

import click

from cafx.cli.options import (
    FILE,
    data_option,
    engine_options,
    json_option,
    listed,
    quiet_option,
    state_options,
    weights_option,
)  # fmt: skip


@click.command()
@click.argument("model", type=FILE)
@weights_option
@click.option("--iterations", "-n", type=click.IntRange(1), default=50, show_default=True, help="Batches.")
@click.option("--seed", type=click.IntRange(0), help="Seed of every random stream.")
@engine_options
@state_options("TEST")
@data_option
@quiet_option
@json_option
def test(model: str, weights: tuple[str, ...], iterations: int, as_json: bool, quiet: bool, **given: Any) -> None:
    """Score MODEL (a net's or solver's prototxt, or a net.py) with trained weights.

    Prints each batch's outputs, then the mean loss and the mean of each output.
    """
    if not weights:
        raise click.UsageError("Scoring needs trained weights: --weights FILE.")
    from cafx.cli.scoring import build, loss_weights, outputs, summarise

    batches: list[list[tuple[str, float]]] = []
    losses: list[float] = []
    with build(model, given.pop("phase"), weights=listed(weights), keep="outputs", **given) as net:
        counts = loss_weights(net)
        for index in range(iterations):
            batches.append(outputs(net))
            losses.append(net.loss)
            for name, value in () if quiet or as_json else batches[-1]:
                click.echo(f"Batch {index}, {name} = {value:g}")
    mean_loss, means = summarise(batches, losses)
    if as_json:
        named: dict[str, list[float]] = {}
        for name, value in means:
            named.setdefault(name, []).append(value)
        click.echo(json.dumps({"iterations": iterations, "loss": mean_loss, "scores": named}))
        return
    click.echo(f"Loss: {mean_loss:g}")
    for name, value in means:
        weight = counts.get(name, 0.0)
        share = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
        click.echo(f"{name} = {value:g}{share}")
