"""The checklist of monitors.

>>> from cafx.conformance import plugin_suite
>>> TestMetrics = plugin_suite("monitor", "metrics")
"""

from __future__ import annotations

import inspect
import io
import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import attrs

from cafx.conformance.kinds.common import common_checks
from cafx.conformance.kinds.space import CAN_LIMIT, folder, no_space
from cafx.conformance.suite import AnyCase, CheckFailure, Subject, check
from cafx.kernel import CafxError, Solver, schema
from cafx.kernel.training import Hooks, plain_history

KIND = "monitor"
MARK = "cafx_impl"
"""The attribute by which pluggy knows an implementation of a hook."""
FOLDER = "{folder}"
ITERATIONS = 4
OPEN_FILES = Path("/proc/self/fd")
NET = """
  layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 4 dim: 3 }
    data_filler { type: "gaussian" } } }
  layer { name: "t" type: "DummyData" top: "t" dummy_data_param { shape { dim: 4 dim: 2 } data_filler { value: 1 } } }
  layer { name: "drop" type: "Dropout" bottom: "x" top: "d" }
  layer { name: "ip" type: "InnerProduct" bottom: "d" top: "y"
    inner_product_param { num_output: 2 weight_filler { type: "gaussian" } } }
  layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""
TRAINING = 'base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 random_seed: 5 max_iter: 4 '
TESTED = "display: 1 snapshot: 2 test_interval: 2 test_compute_loss: true test_iter: 1 test_iter: 2 "


@attrs.frozen
class MonitorCase:
    """A monitor with its target.

    Args:
        name: a short name, unique among the monitor's cases.
        target: what follows ``--monitor NAME=``; "{folder}" in it becomes a folder that the checks make. None for
            ``--monitor NAME``.
        files: what it writes into that folder by the end of a training, as patterns.
        stops_at: the iteration after which it stops a training of 4; None if it stops none.
        error: words of the error, if this target must be refused.
        skip: the ids of checks that this case fails, with the reason for each.
    """

    name: str
    target: str | None = None
    files: Sequence[str] = ()
    stops_at: int | None = None
    error: str | None = None
    skip: Mapping[str, str] = attrs.field(factory=dict)


common_checks(KIND, object)


def accepted(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases whose target is valid."""
    return "the case is about an error" if isinstance(case, MonitorCase) and case.error is not None else None


def writes(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases with files."""
    nothing = isinstance(case, MonitorCase) and not case.files
    return accepted(subject, case) or ("the monitor writes no files" if nothing else None)


def to_the_end(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases that do not stop a training."""
    stops = isinstance(case, MonitorCase) and case.stops_at is not None
    return accepted(subject, case) or ("the monitor stops the training" if stops else None)


def limits_files(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases with files, where their size can be limited."""
    return writes(subject, case) if CAN_LIMIT else "the system cannot limit the size of files"


def made(subject: Subject, case: MonitorCase, folder: Path) -> Any:
    """The monitor of a case, whose target may be in a folder."""
    return subject.thing() if case.target is None else subject.thing(case.target.replace(FOLDER, str(folder)))


def implementations(thing: Any) -> dict[str, Any]:
    """The methods marked ``@hookimpl``."""
    found = {name: inspect.getattr_static(thing, name) for name in dir(thing)}
    return {name: each for name, each in found.items() if getattr(each, MARK, None) is not None}


@contextmanager
def place() -> Iterator[Path]:
    """A folder for a training; what monitors print is dropped."""
    dropped = io.StringIO()
    with folder() as path, redirect_stdout(dropped), redirect_stderr(dropped):
        yield path


def solver_in(subject: Subject, folder: Path, more: str = TESTED) -> Solver:
    """A solver whose snapshots are in a folder."""
    nets = f"net_param {{ {NET} }} " + "".join(f"test_net_param {{ {NET} }} " for _ in range(more.count("test_iter:")))
    options = schema(subject.plugins).parse_text(TRAINING + more + nets, "SolverParameter")
    options.snapshot_prefix = str(folder / "s")
    return Solver(options, engine="numpy", plugins=subject.plugins)


@contextmanager
def complaints() -> Iterator[list[str]]:
    """The messages about monitors that raised, while the block runs."""
    found: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("cafx.monitors")
    log.addHandler(handler)
    spread, log.propagate = log.propagate, False
    try:
        yield found
    finally:
        log.removeHandler(handler)
        log.propagate = spread


def require_silence(found: Sequence[str], when: str) -> None:
    """Require that no monitor has raised."""
    if found:
        raise CheckFailure(f"{when}: {found[0]}")


def result(solver: Solver) -> tuple[list[bytes], list[bytes], str, list[float]]:
    """What a training has come to, bit by bit: parameters, history, random streams, losses."""
    return (
        [blob.host().tobytes() for layer in solver.net.layers for blob in layer.blobs],
        [each.tobytes() for each in plain_history(solver.update)],
        json.dumps([net.state() for net in (solver.net, *solver.test_nets)], sort_keys=True),
        solver.losses,
    )


@check("entry-point", "the entry point refers to a class with hooks", kind=KIND, per_case=False)
def entry_point(subject: Subject) -> None:
    if not isinstance(subject.thing, type):
        raise CheckFailure(f"entry point {subject.plugin.value} is not a class")
    if not implementations(subject.thing):
        raise CheckFailure(f"entry point {subject.plugin.value} has no method marked @hookimpl")


@check("hooks", "every method marked as a hook is one, and takes arguments of it", kind=KIND, per_case=False)
def hooks(subject: Subject) -> None:
    for name, method in implementations(subject.thing).items():
        declared = getattr(Hooks, name, None)
        if declared is None:
            raise CheckFailure(f"there is no hook {name}; hooks are the methods of cafx.kernel.training.Hooks")
        arguments = list(inspect.signature(method).parameters)[1:]
        known = list(inspect.signature(declared).parameters)[1:]
        if not set(arguments) <= set(known):
            raise CheckFailure(f"{name} takes {', '.join(arguments)}; the hook has {', '.join(known)}")


@check(
    "runs",
    "a training with tests and snapshots calls it without an error; its files are there",
    kind=KIND,
    applies=accepted,
)
def runs(subject: Subject, case: MonitorCase) -> None:
    with place() as there, complaints() as found:
        with solver_in(subject, there) as solver:
            solver.monitors.add(made(subject, case, there))
            solver.solve()
        require_silence(found, "in a training")
        for pattern in case.files:
            files = [path for path in there.glob(pattern) if path.is_file()]
            if not any(path.stat().st_size for path in files):
                raise CheckFailure(f"after a training, {pattern} is {'empty' if files else 'not there'}")


@check(
    "harmless",
    "with and without it, parameters, history and random streams are the same bits",
    kind=KIND,
    applies=to_the_end,
)
def harmless(subject: Subject, case: MonitorCase) -> None:
    with place() as there, complaints(), solver_in(subject, there) as plain, solver_in(subject, there) as watched:
        watched.monitors.add(made(subject, case, there))
        plain.solve()
        if not watched.solve():
            raise CheckFailure(f"the monitor stops the training at iteration {watched.iter}: say so by stops_at")
        for what, one, two in zip(
            ("parameters", "the history", "random streams", "losses"), result(plain), result(watched), strict=True
        ):
            if one != two:
                raise CheckFailure(f"with the monitor, {what} are others")


@check(
    "stops",
    "training ends after max_iter, or where the case says that the monitor stops it",
    kind=KIND,
    applies=accepted,
)
def stops(subject: Subject, case: MonitorCase) -> None:
    with place() as there, complaints(), solver_in(subject, there) as solver:
        solver.monitors.add(made(subject, case, there))
        finished = solver.solve()
        end = ITERATIONS if case.stops_at is None else case.stops_at
        if solver.iter != end or finished != (case.stops_at is None):
            raise CheckFailure(
                f"training {'reached max_iter' if finished else 'was stopped'} at {solver.iter}, expected {end}"
            )


@check(
    "without-tests",
    "it works without test nets, snapshots and display, and iteration by iteration",
    kind=KIND,
    applies=accepted,
)
def without_tests(subject: Subject, case: MonitorCase) -> None:
    with place() as there, complaints() as found:
        with solver_in(subject, there, "snapshot_after_train: false ") as solver:
            solver.monitors.add(made(subject, case, there))
            solver.step(1)
            solver.step(1)
            solver.solve()
            solver.solve()
        require_silence(found, "without tests")


@check("tests-alone", "a test or a snapshot may come before training starts, and after it", kind=KIND, applies=accepted)
def tests_alone(subject: Subject, case: MonitorCase) -> None:
    with place() as there, complaints() as found, solver_in(subject, there) as solver:
        solver.monitors.add(made(subject, case, there))
        for when in ("before", "after"):
            solver.test_all()
            solver.snapshot()
            require_silence(found, f"a test and a snapshot {when} training")
            solver.solve()


@check("twice", "two of it can watch one training", kind=KIND, applies=accepted)
def twice(subject: Subject, case: MonitorCase) -> None:
    with place() as there, complaints() as found:
        with solver_in(subject, there) as solver:
            for name in "ab":
                (there / name).mkdir()
                solver.monitors.add(made(subject, case, there / name))
            solver.solve()
        require_silence(found, "with two monitors")


@check(
    "ends-early",
    "training_finished may come at any time, more than once, and training may go on after it",
    kind=KIND,
    applies=accepted,
)
def ends_early(subject: Subject, case: MonitorCase) -> None:
    with place() as there, complaints() as found:
        with solver_in(subject, there) as solver:
            solver.monitors.add(made(subject, case, there))
            solver.monitors.call("training_finished", solver=solver)
            require_silence(found, "training_finished before training_started")
            solver.step(1)
            for _ in range(2):
                solver.monitors.call("training_finished", solver=solver)
            require_silence(found, "training_finished after one iteration")
            solver.solve()
        require_silence(found, "a training that goes on after training_finished")


@check(
    "closes",
    "after training_finished none of its files is open and none of its threads runs",
    kind=KIND,
    applies=accepted,
)
def closes(subject: Subject, case: MonitorCase) -> None:
    with place() as there, complaints():
        with solver_in(subject, there) as solver:
            before = set(threading.enumerate())
            solver.monitors.add(made(subject, case, there))
            solver.solve()
            left = [str(path.relative_to(there.resolve())) for path in open_files(there)]
            threads = [each.name for each in set(threading.enumerate()) - before]
        if left or threads:
            what = [f"{name} is open" for name in left] + [f"thread {name} runs" for name in threads]
            raise CheckFailure(f"after training_finished, {', '.join(what)}")


def open_files(folder: Path) -> list[Path]:
    """The files of a folder that this process has open; none where that cannot be known."""
    found = []
    for each in OPEN_FILES.iterdir() if OPEN_FILES.is_dir() else ():
        with suppress(OSError):
            path = each.readlink()
            found += [path] if path.is_relative_to(folder.resolve()) else []
    return found


@check("resume", "a resumed training keeps what its files held", kind=KIND, applies=to_the_end)
def resume(subject: Subject, case: MonitorCase) -> None:
    with place() as there, complaints() as found:
        with solver_in(subject, there) as solver:
            solver.options.max_iter = 2
            solver.monitors.add(made(subject, case, there))
            solver.solve()
        written = {path: path.read_bytes() for each in case.files for path in there.glob(each) if path.is_file()}
        with solver_in(subject, there) as solver:
            solver.monitors.add(made(subject, case, there))
            solver.solve(there / "s_iter_2.solverstate")
        require_silence(found, "in a resumed training")
        for path, content in written.items():
            if not (path.is_file() and path.read_bytes().startswith(content)):
                raise CheckFailure(f"a resumed training overwrites {path.name}")


@check(
    "full-disk",
    "if its files cannot be written, it is disabled with one message, and training goes on",
    kind=KIND,
    applies=limits_files,
)
def full_disk(subject: Subject, case: MonitorCase) -> None:
    with place() as there, complaints() as found:
        with solver_in(subject, there, "") as plain, solver_in(subject, there, "") as watched:
            watched.monitors.add(made(subject, case, there))
            plain.step(1)
            watched.step(1)
            with no_space():
                watched.step(3)
                watched.monitors.call("training_finished", solver=watched)
            plain.step(3)
            if result(plain) != result(watched):
                raise CheckFailure("with a full disk, training goes another way")
        if len(found) != 1:
            raise CheckFailure(f"with a full disk, {len(found)} messages: let the error out of the hook, once")


@check("refused", "a target that cannot be used raises a CafxError before training", kind=KIND, per_case=False)
def refused(subject: Subject) -> None:
    wrong = [case for case in subject.cases if case.error is not None]
    for case in wrong:
        with place() as there:
            try:
                made(subject, case, there)
            except CafxError as error:
                if case.error not in str(error):
                    raise CheckFailure(f"{case.name}: the error does not mention {case.error!r}: {error}") from None
            else:
                raise CheckFailure(f"{case.name}: this target is accepted")
    if not wrong and any(case.files for case in subject.cases):
        raise CheckFailure("the monitor writes files, but no case with an error says which targets are refused")
