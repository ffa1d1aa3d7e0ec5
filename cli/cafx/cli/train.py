"""``cafx train``."""

from __future__ import annotations

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

EFFECTS = click.Choice(["stop", "snapshot", "none"])


@click.command()
@click.argument("file", required=False, type=FILE, metavar="[NET.py]")
@click.option("--solver", type=FILE, metavar="S.prototxt", help="A solver's prototxt.")
@weights_option
@click.option("--snapshot", type=FILE, metavar="STATE", help="Go on from this solverstate.")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a solver option: base_lr=0.001.")
@click.option("--seed", type=click.IntRange(0), help="Seed of every random stream.")
@engine_options
@state_options(None)
@data_option
@click.option("--keep", type=click.IntRange(1), metavar="N", help="Keep the newest N snapshots only.")
@click.option("--log", type=FILE, metavar="FILE", help="Write a log in Caffe's format.")
@click.option("--metrics", type=FILE, metavar="FILE", help="Write every value: .csv or .jsonl.")
@click.option("--monitor", "monitors", multiple=True, metavar="NAME[=TARGET]", help="Let a monitor plugin listen.")
@click.option("--allow-nan", is_flag=True, help="Go on when the loss is not finite.")
@click.option("--debug-info", is_flag=True, help="Log the mean magnitude of every blob.")
@click.option("--sigint-effect", type=EFFECTS, default="stop", show_default=True, help="What Ctrl-C does.")
@click.option("--sighup-effect", type=EFFECTS, default="snapshot", show_default=True, help="What SIGHUP does.")
@quiet_option
@json_option
def train(file: str | None, solver: str | None, **given: Any) -> None:
    """Train what NET.py or a solver's prototxt describes.

    Ctrl-C stops with a snapshot, from which --snapshot goes on; SIGHUP takes a snapshot and goes on.
    """
    if (file is None) == (solver is None):
        raise click.UsageError("Name a NET.py, or a solver's prototxt with --solver.")
    given["weights"] = listed(given["weights"])
    if given["weights"] and given["snapshot"]:
        raise click.UsageError("--weights starts anew, --snapshot goes on: give one of them.")
    from cafx.cli.training import Request, run

    run(Request(path=str(file or solver), **given))
