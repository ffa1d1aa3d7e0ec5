"""Running tasks: those that are finished are left alone, and those that fail are tried again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cafx_lib_jobs.executor import Executor, Lost
from cafx_lib_jobs.progress import Progress
from cafx_lib_jobs.task import Failure, Outcome, Task, perform

RETRIES = 2
"""How often a task is tried again whose worker ended, or that failed in an unexpected way."""


def run(
    tasks: Sequence[Task], executor: Executor, progress: Progress | None = None, retries: int = RETRIES
) -> Iterator[Outcome]:
    """Run tasks and yield their outcomes in order; the tasks run ahead of the outcomes.

    Args:
        tasks: the tasks, numbered from 0.
        executor: what runs them; it has been started.
        progress: is told what is finished.
        retries: how often a task is tried again.

    Raises:
        CafxError: a task raised it, or failed once more than ``retries``.
    """
    outcomes: dict[int, Outcome] = {}
    following = 0
    for outcome in _finished(tasks, executor, progress, retries):
        if progress is not None:
            progress.add(outcome, len(tasks[outcome.number].records))
        outcomes[outcome.number] = outcome
        while following in outcomes:
            yield outcomes.pop(following)
            following += 1


def _finished(tasks: Sequence[Task], executor: Executor, progress: Progress | None, retries: int) -> Iterator[Outcome]:
    """Outcomes as they come, those of an earlier run first."""
    earlier = [task.finished() for task in tasks]
    reused = [outcome for outcome in earlier if outcome is not None]
    if reused and progress is not None:
        progress.resumed(len(reused), len(tasks))
    yield from reused
    left = [task for task, outcome in zip(tasks, earlier, strict=True) if outcome is None]
    attempts = 0
    while left:
        attempts += 1
        failures: list[Failure] = []
        for result in executor.map(perform, left):
            value = (
                Failure(left[result.index].number, None, result.reason) if isinstance(result, Lost) else result.value
            )
            if isinstance(value, Outcome):
                yield value
            elif value.error is not None or attempts > retries:
                raise value.exception(attempts, len(tasks))
            else:
                failures.append(value)
                if progress is not None:
                    progress.again(value, len(tasks))
        left = [tasks[each.number] for each in sorted(failures, key=lambda each: each.number)]
