"""The checklist of executors.

>>> from cafx.conformance import plugin_suite
>>> TestLocal = plugin_suite("executor", "local")
"""

from __future__ import annotations

import functools
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from cafx.conformance.kinds import work
from cafx.conformance.kinds.common import common_checks
from cafx.conformance.suite import AnyCase, CheckFailure, Subject, check
from cafx.kernel import CafxError
from cafx_lib_jobs.executor import Done, Executor, Lost

KIND = "executor"
TASKS, DEADLY_TASK = 12, 3
AHEAD = 4
"""Tasks per worker that may be read before results come."""
SECONDS = 10.0
SLICES = (0, 2, 3, 1)
"""Records of a job's slices; 1 is the one that is refused."""


@attrs.frozen
class ExecutorCase:
    """How workers are started on this machine.

    Args:
        name: a short name, unique among the executor's cases.
        workers: their number, at least 2.
        unavailable: returns why they cannot be started here; None if they can.
        skip: the ids of checks that this case fails, with the reason for each.
    """

    name: str
    workers: int = 2
    unavailable: Callable[[], str | None] = lambda: None
    skip: Mapping[str, str] = attrs.field(factory=dict, eq=False)


@attrs.frozen
class Observed:
    """What an executor has done.

    Attributes:
        results: of tasks, of which one ends its worker.
        again: of a second round.
        ahead: the most tasks that were read before their results came.
        processes: of workers that were stopped at work.
        job: the error of a job with a slice that cannot be done; outputs then and after another run; how many of its
            slices were taken from the first run.
    """

    results: list[Any]
    again: list[Any]
    ahead: int
    processes: list[int]
    job: tuple[str, int, int, int]


common_checks(KIND, Executor)


def can_start(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies where workers can be started."""
    return case.unavailable() if isinstance(case, ExecutorCase) else None


def observed(subject: Subject, case: ExecutorCase) -> Observed:
    """What the executor does, once per case: workers are slow to start."""
    return _observed(subject.thing, case)


@functools.lru_cache(maxsize=4)
def _observed(executor_class: type[Executor], case: ExecutorCase) -> Observed:
    read, ahead = 0, 0

    def tasks() -> Iterator[Any]:
        nonlocal read
        for number in range(TASKS):
            read += 1
            yield work.DEADLY if number == DEADLY_TASK else number

    with tempfile.TemporaryDirectory(prefix="cafx-executor-") as name, executor_class(case.workers) as executor:
        results = []
        for count, result in enumerate(executor.map(work.marked, tasks())):
            ahead = max(ahead, read - count)
            results.append(result)
        again = list(executor.map(work.marked, range(TASKS)))
        told = job(executor, Path(name))
        left = stopped(executor)
    return Observed(results, again, ahead, left, told)


def job(executor: Executor, folder: Path) -> tuple[str, int, int, int]:
    """Run a job with a slice that is refused, and then once more without.

    Args:
        executor: runs it.
        folder: of the outputs; it must outlive the executor, whose workers may still be writing after an error.
    """
    from cafx_lib_jobs.running import run
    from cafx_lib_jobs.task import Task

    refuse = folder / "refuse"
    refuse.touch()
    tasks = [
        Task(work.slice_to_file, {"refuse": str(refuse)}, [number], number, str(folder / f"out{number}"), str(folder))
        for number in SLICES
    ]
    tasks = [attrs.evolve(task, number=index) for index, task in enumerate(tasks)]
    try:
        list(run(tasks, executor))
        told = ""
    except CafxError as error:
        told = str(error)
    before = len(list(folder.glob("out*")))
    refuse.unlink()
    outcomes = list(run(tasks, executor))
    return told, before, len(list(folder.glob("out*"))), sum(outcome.reused for outcome in outcomes)


def stopped(executor: Executor) -> list[int]:
    """The processes of workers that are stopped while they are busy, and that have not ended after some seconds."""
    results = executor.map(work.long, [0, *[1] * executor.workers])
    first = next(results)
    processes = [first.value] if isinstance(first, Done) else []
    executor.stop()
    executor.stop()
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and any(map(runs, processes)):
        time.sleep(0.05)
    return [process for process in processes if runs(process)]


def runs(process: int) -> bool:
    """Whether a process has not ended."""
    status = Path(f"/proc/{process}/stat")
    try:
        os.kill(process, 0)
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, PermissionError, OSError):
        return False


@check("every-task", "each task is done once, with its result; none is left out", kind=KIND, applies=can_start)
def every_task(subject: Subject, case: ExecutorCase) -> None:
    found = observed(subject, case)
    for what, results, lost in (("tasks", found.results, {DEADLY_TASK}), ("a second round", found.again, set())):
        indices = sorted(result.index for result in results)
        if indices != list(range(TASKS)):
            raise CheckFailure(f"of {TASKS} tasks in {what}, the results are for {indices}")
        for result in results:
            if result.index not in lost and (not isinstance(result, Done) or result.value[0] != result.index):
                raise CheckFailure(f"task {result.index} in {what} gives {result}")


@check(
    "lost", "a task that ends its worker is Lost with a reason; the worker is replaced", kind=KIND, applies=can_start
)
def lost(subject: Subject, case: ExecutorCase) -> None:
    result = next(each for each in observed(subject, case).results if each.index == DEADLY_TASK)
    if not isinstance(result, Lost) or not result.reason.strip():
        raise CheckFailure(f"the task that ends its worker gives {result}, not Lost with a reason")


@check(
    "elsewhere",
    "tasks run in at most as many processes as there are workers, and not in this one",
    kind=KIND,
    applies=can_start,
)
def elsewhere(subject: Subject, case: ExecutorCase) -> None:
    processes = {each.value[1] for each in observed(subject, case).again if isinstance(each, Done)}
    if os.getpid() in processes:
        raise CheckFailure("tasks run in this process, which a task may end")
    if len(processes) > case.workers:
        raise CheckFailure(f"{len(processes)} processes run the tasks, not {case.workers} workers")


@check("held", "what a worker holds stays in its process", kind=KIND, applies=can_start)
def held(subject: Subject, case: ExecutorCase) -> None:
    found = observed(subject, case)
    for each in itertools.chain(found.results, found.again):
        if isinstance(each, Done) and each.value[1] != each.value[2]:
            raise CheckFailure("a task gets what another process holds")


@check("as-needed", "tasks are read as workers become free", kind=KIND, applies=can_start)
def as_needed(subject: Subject, case: ExecutorCase) -> None:
    ahead = observed(subject, case).ahead
    if ahead > AHEAD * case.workers:
        raise CheckFailure(f"{ahead} tasks are read before their results come: a long list fills the memory")


@check("stopped", "stop ends busy workers, and may be called twice", kind=KIND, applies=can_start)
def stops(subject: Subject, case: ExecutorCase) -> None:
    left = observed(subject, case).processes
    if left:
        raise CheckFailure(f"{SECONDS:.0f} s after stop, workers still run: {left}")


@check(
    "job", "a slice that fails is named, others are kept, and the next run does the rest", kind=KIND, applies=can_start
)
def whole_job(subject: Subject, case: ExecutorCase) -> None:
    told, before, after, reused = observed(subject, case).job
    if "record 1" not in told:
        raise CheckFailure(f"the error of a slice is not the job's: {told or 'no error'}")
    if after != len(SLICES) or not reused:
        raise CheckFailure(
            f"of {len(SLICES)} slices, {before} have outputs after one has failed, and {after} after the next run, "
            f"which takes {reused} from the first"
        )
