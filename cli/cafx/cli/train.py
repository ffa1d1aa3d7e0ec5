"""``cafx train``: training a net."""

from __future__ import annotations

from typing import Any

import click

from cafx.cli.completing import fields, monitors, states
from cafx.cli.options import (
    AUTO,
    FILE,
    data_option,
    engine_options,
    json_option,
    quiet_option,
    rank_options,
    seed_option,
    split_commas,
    state_options,
    weights_option,
)

EFFECTS = click.Choice(["stop", "snapshot", "none"])


@click.command()
@click.argument("file", required=False, type=FILE, metavar="[NET.py]")
@click.option("--solver", type=FILE, metavar="S.prototxt", help="Solver prototxt.")
@weights_option
@click.option(
    "--snapshot",
    "--resume",
    "snapshot",
    type=FILE,
    metavar="STATE",
    shell_complete=states,
    help="Resume from this .solverstate; auto: from the newest snapshot, if there is one.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="FIELD=VALUE",
    shell_complete=fields,
    help="Change a solver option, e.g. base_lr=0.001.",
)
@seed_option
@engine_options
@rank_options
@state_options(None)
@data_option
@click.option("--keep", type=click.IntRange(1), metavar="N", help="Keep only the newest N snapshots.")
@click.option(
    "--log",
    type=FILE,
    metavar="FILE",
    help="Append a log in Caffe's format, as parse_log.py reads it; - for standard output.",
)
@click.option("--metrics", type=FILE, metavar="FILE", help="Write metrics of every iteration to a .csv or .jsonl file.")
@click.option(
    "--monitor",
    "monitors",
    multiple=True,
    metavar="NAME[=TARGET]",
    shell_complete=monitors,
    help="Attach a monitor plugin (repeatable).",
)
@click.option("--allow-nan", is_flag=True, help="Continue when the loss is NaN or infinite.")
@click.option("--debug-info", is_flag=True, help="Log the mean magnitude of every blob.")
@click.option("--sigint-effect", type=EFFECTS, default="stop", show_default=True, help="Effect of Ctrl-C.")
@click.option("--sighup-effect", type=EFFECTS, default="snapshot", show_default=True, help="Effect of SIGHUP.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Try one iteration, one batch per test net and one snapshot, in a temporary folder, and tell what works.",
)
@quiet_option
@json_option
def train(file: str | None, solver: str | None, **options: Any) -> int:
    """Train the net defined in NET.py or in a solver prototxt.

    Ctrl-C saves a snapshot and stops; resume with --snapshot. SIGTERM does so too, with exit code 143. SIGHUP
    saves a snapshot and continues.

    Started by `cafx launch`, mpiexec or srun as one of several processes, it trains on its part of the data, and
    sums gradients with the others.

    \b
    Examples:
    cafx train net.py
    cafx train --solver solver.prototxt --set max_iter=5000 --gpu 0
    cafx train --solver solver.prototxt --weights pretrained.caffemodel
    cafx train net.py --snapshot auto
    cafx train net.py --dry-run
    """
    if (file is None) == (solver is None):
        raise click.UsageError("Name either a NET.py or, with --solver, a solver prototxt.")
    options["weights"] = split_commas(options["weights"])
    if options["weights"] and options["snapshot"] not in (None, AUTO):
        raise click.UsageError("--weights and --snapshot are mutually exclusive: a snapshot names its own weights.")
    if options["log"] == "-" and options["as_json"]:
        raise click.UsageError("--log - and --json both write to standard output: name a file for the log.")
    from cafx.cli.training import Request, rehearse, run

    dry_run = options.pop("dry_run")
    request = Request(path=str(file or solver), **options)
    return rehearse(request) if dry_run else run(request)
