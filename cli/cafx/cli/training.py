"""One training run of ``cafx train``, from its options to its closing lines."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from typing import Any

import attrs
import click

from cafx.cli.diagnostics import log_debug_info, log_warnings, silence_overflow
from cafx.cli.files import is_python
from cafx.cli.monitors import attach, finish_on_error
from cafx.cli.options import AUTO, EngineChoice
from cafx.cli.outcome import Outcome
from cafx.cli.process import TERMINATED
from cafx.cli.ranks import communicator_of, ending_together
from cafx.cli.rehearsal import rehearsed
from cafx.cli.signals import handle_signals
from cafx.cli.snapshots import SnapshotPruner, newest_state
from cafx.cli.solvers import load_solver
from cafx.kernel import CafxError, Solver, registry
from cafx.kernel.net import Communicator, Copied


@attrs.frozen(kw_only=True)
class Request:
    """The options of ``cafx train``."""

    path: str
    weights: list[str]
    snapshot: str | None
    changes: tuple[str, ...]
    seed: int | None
    engine: EngineChoice
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
    communicator: str | None
    split_batch: bool
    compress: str | None
    sync_bn: bool
    quiet: bool
    as_json: bool


def run(request: Request) -> int:
    """Train, then print the outcome.

    Returns:
        The exit code: 143 if SIGTERM stopped training in one process, else 0.

    Raises:
        CafxError: invalid options, files or values, or a loss that is not finite.
    """
    communicator = communicator_of(request.communicator, sync_statistics=request.sync_bn, compress=request.compress)
    with ending_together(communicator):
        if not communicator.is_root:
            request = attrs.evolve(request, quiet=True, log=None, metrics=None, monitors=(), keep=None)
        return _train(request, communicator)


def _train(request: Request, communicator: Communicator) -> int:
    log_warnings()
    silence_overflow()
    request, options = _resolved(request)
    with Solver(options, request.path, keep="outputs", **_settings(request, communicator)) as solver:
        _report_weights(request, solver)
        outcome = Outcome()
        solver.monitors.add(outcome)
        if request.keep:
            solver.monitors.add(SnapshotPruner(request.keep))
        attach(solver, _monitors(request))
        if request.debug_info or options.debug_info:
            log_debug_info(to_terminal=not request.log and not request.quiet)
        started = time.monotonic()
        effects = {"SIGINT": request.sigint_effect, "SIGHUP": request.sighup_effect, "SIGTERM": "stop"}
        effects |= {"SIGUSR1": "stop", "SIGUSR2": "snapshot"} if communicator.size > 1 else {}
        with handle_signals(solver, effects, request.quiet) as signals, finish_on_error(solver):
            finished = solver.solve(resume=request.snapshot)
            if not finished and not outcome.is_current(solver):
                solver.snapshot()
        outcome.seconds = time.monotonic() - started
        if communicator.is_root:
            _report(request, solver, outcome, finished)
    return TERMINATED if signals.terminated and communicator.size == 1 else 0


def rehearse(request: Request) -> int:
    """``--dry-run``: try an iteration, tests and a snapshot, then tell what works; no file is left.

    Raises:
        CafxError: as training would, or for a monitor that is not installed.
    """
    communicator = communicator_of(request.communicator, sync_statistics=request.sync_bn, compress=request.compress)
    with ending_together(communicator):
        log_warnings()
        silence_overflow()
        request, options = _resolved(request)
        for name in request.monitors:
            registry().find("monitor", name.partition("=")[0])
        settings = _settings(request, communicator)
        found = rehearsed(options, request.path, request.snapshot, settings, partial(_report_weights, request))
        if communicator.is_root:
            click.echo(json.dumps(found.summary()) if request.as_json else found.text())
    return 0


def _resolved(request: Request) -> tuple[Request, Any]:
    """The request with the snapshot that ``auto`` means, and the solver's options."""
    options = load_solver(request.path, request.changes)
    if request.snapshot == AUTO:
        request = attrs.evolve(request, snapshot=newest_state(options, request.path))
        if request.snapshot is None and not request.quiet:
            click.echo("no snapshot to resume from: training begins at iteration 0", err=True)
    _apply(request, options)
    return request, options


def _settings(request: Request, communicator: Communicator) -> dict[str, Any]:
    """Keywords of the solver."""
    settings: dict[str, Any] = {"seed": request.seed, "allow_nan": request.allow_nan, **request.engine.keywords()}
    return {**settings, "communicator": communicator, "split_batch": request.split_batch}


def _apply(request: Request, options: Any) -> None:
    """Set solver fields that have an option of their own."""
    if request.debug_info:
        options.debug_info = True
    if request.snapshot:
        options.ClearField("weights")  # the snapshot names its own
    elif request.weights:
        options.weights[:] = request.weights
    for state in _states(options) if request.level or request.stage else ():
        state.level = request.level or state.level
        state.stage.extend(name for name in request.stage if name not in state.stage)


def _states(options: Any) -> list[Any]:
    """The states of the training net and of all test nets, which are added if the solver leaves them out."""
    for _ in options.test_iter if not options.test_state else ():
        options.test_state.add()
    return [options.train_state, *options.test_state]


def _report_weights(request: Request, solver: Solver) -> None:
    """Print which layers were loaded; CafxError for a weights file that has none of them."""
    paths = [path.strip() for text in solver.options.weights for path in text.split(",") if path.strip()]
    loaded: set[str] = set()
    lines: list[str] = []
    for path, copied in zip(paths, solver.copied, strict=True):
        if not copied.filled:
            raise CafxError(
                "contains no layer of this net",
                where=path,
                found=", ".join(copied.unused[:5]) or "none",
                expected="layers such as " + ", ".join(list(solver.net.params)[:5]),
            )
        loaded.update(copied.filled)
        lines.append(f"weights: {path}: {_copied_text(copied)}")
    fresh = [name for name in solver.net.params if name not in loaded]
    if paths and fresh:
        lines.append(f"weights: initialised by fillers: {', '.join(fresh)}")
    for line in lines if not request.quiet else ():
        click.echo(line, err=True)


def _copied_text(copied: Copied) -> str:
    count = len(copied.filled)
    text = f"{count} layer{'s' * (count != 1)} loaded"
    return text + (f"; not in this net: {', '.join(copied.unused)}" if copied.unused else "")


def _monitors(request: Request) -> list[str]:
    """The monitors to attach, as NAME or NAME=TARGET."""
    monitors = list(request.monitors)
    monitors += [f"log={request.log}"] if request.log else []
    monitors += [f"metrics={request.metrics}"] if request.metrics else []
    if not request.quiet and "progress" in registry().names("monitor"):
        monitors.append("progress")
    return monitors


def _report(request: Request, solver: Solver, outcome: Outcome, finished: bool) -> None:
    """Print how training ended, where the model is, and commands to run next."""
    if request.as_json:
        click.echo(json.dumps(outcome.summary(solver, finished)))
        return
    scores = outcome.scores_text(solver)
    progress = outcome.progress_text(solver, finished)
    trained = outcome.first_iteration != solver.iter or not solver.iter
    duration = f" in {outcome.seconds:.1f} s" if trained else ""
    separator = ": " if trained else "; "
    click.echo(f"{progress}{duration}" + (separator + scores if scores else ""))
    if not outcome.weights:
        click.echo(_why_no_snapshot(request, solver, outcome))
    else:
        click.echo(f"Model: {outcome.weights}\nState: {outcome.state}")
    if not request.quiet:
        click.echo("Next:")
        for command in _next_commands(request, solver, outcome, finished):
            click.echo(f"  {command}")


def _why_no_snapshot(request: Request, solver: Solver, outcome: Outcome) -> str:
    if outcome.first_iteration == solver.iter and request.snapshot:
        return f"No snapshot was written: nothing has changed since {request.snapshot}."
    return "No snapshot was written (snapshot_after_train is off)."


def _next_commands(request: Request, solver: Solver, outcome: Outcome, finished: bool) -> list[str]:
    path = request.path
    train = f"cafx train {path if is_python(path) else f'--solver {path}'}"
    state = outcome.state or request.snapshot
    more = max(solver.options.max_iter, solver.iter) * 2 or 1000
    tests = solver.options.test_iter
    lines = [f"cafx net {path}   # layers, engines, shapes and memory"]
    if not finished:
        return [f"{train} --snapshot {state}   # resume"] if state else lines
    if state:
        lines.append(f"{train} --snapshot {state} --set max_iter={more}   # continue training")
    if outcome.weights and tests:
        lines.insert(0, f"cafx test {path} --weights {outcome.weights} --iterations {tests[0]}")
    if outcome.weights:
        lines.append(f"cafx train OTHER.py --weights {outcome.weights}   # fine-tune another net")
    if not request.log and not sys.stderr.isatty():
        lines.append(f"{train} --log FILE   # a log that Caffe's parse_log.py reads; --log - for standard output")
    return lines
