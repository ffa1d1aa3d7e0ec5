"""``cafx test``: scoring a net with trained weights."""

from __future__ import annotations

import json
from typing import Any

import click

from cafx.cli.options import (
    FILE,
    data_option,
    engine_options,
    json_option,
    quiet_option,
    seed_option,
    split_commas,
    state_options,
    weights_option,
)


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
    help="Number of batches to score.",
)
@seed_option
@engine_options
@state_options("TEST")
@data_option
@quiet_option
@json_option
def test(model: str, weights: tuple[str, ...], iterations: int, as_json: bool, quiet: bool, **options: Any) -> None:
    """Score MODEL (the prototxt of a net or solver, or a net.py) with trained weights.

    Prints the outputs of each batch, then the mean loss and the mean of each output.
    """
    if not weights:
        raise click.UsageError("Scoring needs trained weights: --weights FILE.")
    from cafx.cli.nets import build_net
    from cafx_lib_scores import flatten, format_weighted

    batches: list[list[tuple[str, float]]] = []
    losses: list[float] = []
    with build_net(model, options.pop("phase"), weights=split_commas(weights), keep="outputs", **options) as net:
        loss_weights = net.loss_weights
        for index in range(iterations):
            batches.append(flatten(net.forward()))
            losses.append(net.loss)
            for name, value in () if quiet or as_json else batches[-1]:
                click.echo(f"Batch {index}, {name} = {value:g}")
    mean_loss = sum(losses) / iterations
    means = [(column[0][0], sum(value for _, value in column) / iterations) for column in zip(*batches, strict=True)]
    if as_json:
        scores: dict[str, list[float]] = {}
        for name, value in means:
            scores.setdefault(name, []).append(value)
        click.echo(json.dumps({"iterations": iterations, "loss": mean_loss, "scores": scores}))
        return
    click.echo(f"Loss: {mean_loss:g}")
    for name, value in means:
        click.echo(format_weighted(name, value, loss_weights.get(name, 0.0)))
