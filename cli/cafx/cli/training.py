"""What ``cafx train`` does: make the solver, let monitors listen, obey signals, tell the end."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import click

from cafx.cli.options import ignore_overflow
from cafx.cli.signals import obey_signals
from cafx.cli.sources import load_solver
from cafx.cli.watching import Keeper, Outcome, attach, monitors_told, warnings_to_stderr
from cafx.kernel import CafxError, Solver, registry
from cafx.kernel.net import Copied


@attrs.frozen(kw_only=True)
class Request:
    """The options of ``cafx train``."""

    path: str
    weights: list[str]
    snapshot: str | None
    changes: tuple[str, ...]
    seed: int | None
    engine: str | None
    level: int
    stage: tuple[str, ...]
    keep: int | None
    log: str | None
    metrics: str | None
    monitors: tuple[str, ...]
    allow_nan: bool
    debug_info: bool
    sigint_effect: str
    sighup_effect: str
    quiet: bool
    as_json: bool


def run(request: Request) -> None:
    """Train; CafxError for whatever a person can put right."""
    warnings_to_stderr()
    ignore_overflow()
    options = load_solver(request.path, request.changes)
    _apply(request, options)
    with _solver(request, options) as solver:
        _tell_of_weights(request, solver)
        outcome = Outcome()
        solver.monitors.add(outcome)
        if request.keep:
            solver.monitors.add(Keeper(request.keep))
        attach(solver, _monitors(request))
        if request.debug_info or options.debug_info:
            _log_debug_info(request)
        started = time.monotonic()
        effects = {"SIGINT": request.sigint_effect, "SIGHUP": request.sighup_effect}
        with obey_signals(solver, effects, request.quiet), monitors_told(solver):
            finished = solver.solve(resume=request.snapshot)
            if not finished and not outcome.is_current(solver):
                solver.snapshot()
        outcome.seconds = time.monotonic() - started
        _report(request, solver, outcome, finished)


def _apply(request: Request, options: Any) -> None:
    if request.debug_info:
        options.debug_info = True
    if request.snapshot:
        options.ClearField("weights")  # the snapshot names its own
    elif request.weights:
        options.weights[:] = request.weights
    if request.level:
        options.train_state.level = request.level
    options.train_state.stage.extend(request.stage)


@contextmanager
def _solver(request: Request, options: Any) -> Iterator[Solver]:
    settings: dict[str, Any] = {"engine": request.engine, "seed": request.seed, "allow_nan": request.allow_nan}
    solver = Solver(options, request.path, keep="outputs", **settings)
    with solver:
        yield solver


def _tell_of_weights(request: Request, solver: Solver) -> None:
    """Say what the weights filled, and which layers start anew; CafxError for weights that fill none."""
    named = [path.strip() for text in solver.options.weights for path in text.split(",") if path.strip()]
    filled: set[str] = set()
    told: list[str] = []
    for path, copied in zip(named, solver.copied, strict=True):
        if not copied.filled:
            raise CafxError(
                "has no layer of this net", where=path, found=", ".join(copied.unused[:5]) or "none",
                expected="layers such as " + ", ".join(list(solver.net.params)[:5]),
            )  # fmt: skip
        filled.update(copied.filled)
        told.append(f"weights: {path}: {_told(copied)}")
    fresh = [name for name in solver.net.params if name not in filled]
    if named and fresh:
        told.append(f"weights: these layers start anew: {', '.join(fresh)}")
    for line in told if not request.quiet else ():
        click.echo(line, err=True)


def _told(copied: Copied) -> str:
    text = f"{len(copied.filled)} layers taken"
    return text + (f"; not in this net: {', '.join(copied.unused)}" if copied.unused else "")


def _monitors(request: Request) -> list[str]:
    """The monitors asked for, as NAME or NAME=TARGET."""
    asked = list(request.monitors)
    asked += [f"log={request.log}"] if request.log else []
    asked += [f"metrics={request.metrics}"] if request.metrics else []
    if not request.quiet and "progress" in registry().names("monitor"):
        asked.append("progress")
    return asked


def _log_debug_info(request: Request) -> None:
    """The kernel logs blobs' magnitudes; a log monitor takes them into its file by itself."""
    handler = logging.StreamHandler(sys.stderr)
    log = logging.getLogger("cafx.net")
    log.setLevel(logging.INFO)
    if not request.log and not request.quiet:
        log.addHandler(handler)


def _report(request: Request, solver: Solver, outcome: Outcome, finished: bool) -> None:
    """Say how it ended, where the model is, and what to do next."""
    if request.as_json:
        click.echo(json.dumps(outcome.summary(solver, finished)))
        return
    told = outcome.told(solver)
    click.echo(f"{outcome.counted(solver, finished)} in {outcome.seconds:.1f} s" + (f": {told}" if told else ""))
    if not outcome.weights:
        click.echo("No snapshot was written (snapshot_after_train is off).")
        return
    click.echo(f"Model: {outcome.weights}\nState: {outcome.state}")
    if request.quiet:
        return
    named = f"--solver {request.path}" if Path(request.path).suffix != ".py" else request.path
    click.echo("Next:")
    if not finished:
        click.echo(f"  cafx train {named} --snapshot {outcome.state}   # go on from here")
        return
    tests = solver.options.test_iter
    if tests:
        click.echo(f"  cafx test {request.path} --weights {outcome.weights} --iterations {tests[0]}")
    click.echo(f"  cafx net {request.path}   # what ran how, and what it takes")
    further = solver.options.max_iter * 2
    click.echo(f"  cafx train {named} --snapshot {outcome.state} --set max_iter={further}   # train on")
    click.echo(f"  cafx train OTHER.py --weights {outcome.weights}   # fine-tune another net from it")
