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

    \b
    Example:
    cafx test train_val.prototxt --weights net_iter_1000.caffemodel --iterations 100
    """
    if not weights:
        raise click.UsageError("Scoring needs trained weights: --weights FILE.")
    from cafx.cli.nets import build_net
    from cafx.kernel.training import LOSS, Scores
    from cafx_lib_scores import flatten, format_weighted

    with build_net(
        model, options.pop("phase"), weights=split_commas(weights), keep="outputs", trust=True, **options
    ) as net:
        loss_weights = net.loss_weights
        tested = Scores(net, None, with_loss=True)
        for index in range(iterations):
            outputs = net.forward()
            tested.add(outputs)
            shown = {} if quiet or as_json else {name: outputs[name] for name in outputs if name not in tested.scorers}
            for name, value in flatten(shown):
                click.echo(f"Batch {index}, {name} = {value:g}")
        means = tested.result()
    mean_loss = float(means.pop(LOSS))
    if as_json:
        scores = {name: value.reshape(-1).tolist() for name, value in means.items()}
        click.echo(json.dumps({"iterations": iterations, "loss": mean_loss, "scores": scores}))
        return
    click.echo(f"Loss: {mean_loss:g}")
    for name, value in flatten(means):
        click.echo(format_weighted(name, value, loss_weights.get(name, 0.0)))
