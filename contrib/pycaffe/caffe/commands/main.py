"""The command ``caffe``: train, test, time and device_query, with Caffe's flags and log."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

import click

from caffe import glog
from caffe.commands.program import (
    LogStream,
    call,
    engine_arguments,
    given,
    log_file,
    logged_warnings,
    output_of,
    program,
)

TEST, TIME = "caffe.cpp:309", "caffe.cpp:397"
"""Source files and lines that Caffe's log names."""
EFFECTS = click.Choice(["stop", "snapshot", "none"])


@program
@click.argument(
    "action", metavar="{train|test|time|device_query}", type=click.Choice(["train", "test", "time", "device_query"])
)
@click.option("--gpu", default="", metavar="N", help="Run on this GPU, or on the first of several (0,1 or all).")
@click.option("--solver", default="", metavar="FILE", help="train: the solver's prototxt.")
@click.option("--model", default="", metavar="FILE", help="test, time: the net's prototxt.")
@click.option("--phase", default="", metavar="TRAIN|TEST", help="time: the net's phase (default: TRAIN).")
@click.option("--level", default=0, metavar="N", help="NetState.level, for include and exclude rules.")
@click.option("--stage", default="", metavar="A,B", help="NetState.stage, for include and exclude rules.")
@click.option("--snapshot", default="", metavar="FILE", help="train: resume from this .solverstate.")
@click.option("--weights", default="", metavar="A,B", help="train: weights to start from; test: weights to score.")
@click.option(
    "--iterations", default=50, type=click.IntRange(1), metavar="N", show_default=True, help="test, time: batches."
)
@click.option("--sigint_effect", type=EFFECTS, default="stop", show_default=True, help="train: effect of Ctrl-C.")
@click.option("--sighup_effect", type=EFFECTS, default="snapshot", show_default=True, help="train: effect of SIGHUP.")
def caffe(action: str, **flags: Any) -> int:
    """Caffe's command line, run by cafx.

    Options have one dash or two. Without a GPU, --gpu gives one notice, and the CPU is used. If standard
    error is not a terminal, the log is Caffe's: 'caffe train -solver s.prototxt 2>&1 | tee log'.

    \b
    Examples:
    caffe train -solver lenet_solver.prototxt -gpu 0
    caffe train -solver solver.prototxt -snapshot lenet_iter_5000.solverstate
    caffe test -model lenet.prototxt -weights lenet.caffemodel -iterations 100
    caffe time -model lenet.prototxt -iterations 10
    caffe device_query -gpu 0
    """
    return ACTIONS[action](**flags) or 0


def train(solver: str, weights: str, snapshot: str, **flags: Any) -> int:
    """Train, with progress on a terminal, else with Caffe's log."""
    if not solver:
        raise click.UsageError("Need a solver definition to train: -solver FILE.")
    if snapshot and weights:
        raise click.UsageError("Give a snapshot to resume training or weights to finetune but not both.")
    options = given(solver=solver, weights=weights, snapshot=snapshot, log=log_file("caffe"), **_state(flags))
    options += given(sigint_effect=flags["sigint_effect"], sighup_effect=flags["sighup_effect"])
    options += engine_arguments(flags["gpu"])
    if sys.stderr.isatty():
        return call("train", *options)
    monitors = ["--monitor", "log"] if glog.level() == glog.INFO else []
    with logged_warnings():
        return call("train", "--quiet", *monitors, *options)


def test(model: str, weights: str, iterations: int, **flags: Any) -> None:
    """Score a model; the results are lines of the log."""
    if not model:
        raise click.UsageError("Need a model definition to score: -model FILE.")
    if not weights:
        raise click.UsageError("Need model weights to score: -weights FILE.")
    options = given(weights=weights, iterations=iterations, **_state(flags)) + engine_arguments(flags["gpu"])
    with contextlib.redirect_stdout(LogStream(TEST)), logged_warnings():
        call("test", model, *options)


def time(model: str, weights: str, iterations: int, **flags: Any) -> None:
    """Time a model; the results are lines of the log."""
    if not model:
        raise click.UsageError("Need a model definition to time: -model FILE.")
    options = given(weights=weights, iterations=iterations, phase=flags["phase"], **_state(flags))
    with logged_warnings():
        timing = json.loads(output_of("time", model, "--json", *options, *engine_arguments(flags["gpu"])))
    log: Callable[[str], None] = LogStream(TIME).write  # type: ignore[assignment]
    log("*** Benchmark begins ***\nAverage time per layer: \n")
    for row in timing["rows"]:
        for direction in ("forward", "backward"):
            log(f"{row['name']:>10}\t{direction}: {row[direction]:g} ms.\n")
    both = timing["forward"] + timing["backward"]
    log(f"Average Forward pass: {timing['forward']:g} ms.\nAverage Backward pass: {timing['backward']:g} ms.\n")
    log(f"Average Forward-Backward: {both:g} ms.\nTotal Time: {both * iterations:g} ms.\n*** Benchmark ends ***\n")


def device_query(gpu: str, **_: Any) -> None:
    """Show the engines and GPUs."""
    call("device", *given(gpu="" if gpu == "all" else gpu))


ACTIONS: dict[str, Callable[..., int | None]] = {
    "train": train,
    "test": test,
    "time": time,
    "device_query": device_query,
}


def _state(flags: dict[str, Any]) -> dict[str, Any]:
    return {"level": flags["level"], "stage": flags["stage"]}
