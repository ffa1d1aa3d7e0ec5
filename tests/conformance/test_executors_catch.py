"""Each check of the checklist of executors catches an executor that violates its requirement.

Workers are threads here that pretend to be processes: real ones take seconds to start.
"""

from __future__ import annotations

import itertools
import threading
import types
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from cafx.conformance import load_checks
from cafx.conformance.catching import failures
from cafx.conformance.kinds import executor as checklist
from cafx.conformance.kinds import work
from cafx.conformance.kinds.executor import ExecutorCase
from cafx_lib_jobs.executor import Done, Executor, Lost
from cafx_lib_jobs.hold import Hold

CHECKS = load_checks("executor")
NUMBERS = itertools.count(1 << 30)
"""Process numbers that no process has."""
CURRENT = threading.local()
ALIVE: set[int] = set()


class Exited(BaseException):
    """A worker has called os._exit."""


class Worker:
    """A pretended process."""

    def __init__(self) -> None:
        self.process, self.hold = next(NUMBERS), Hold()
        ALIVE.add(self.process)

    def call(self, function: Any, task: Any) -> Any:
        """The result of a task."""
        CURRENT.process = self.process
        return function(task, self.hold)


class Pretending(Executor):
    """Runs tasks one after the other in workers that pretend to be processes."""

    def start(self) -> None:
        """Make the workers."""
        self.pool = [Worker() for _ in range(self.workers)]

    def map(self, function: Any, tasks: Iterable[Any]) -> Iterator[Done | Lost]:
        """See `Executor`."""
        for index, task in enumerate(tasks):
            number = index % len(self.pool)
            try:
                yield Done(index, self.pool[number].call(function, task))
            except Exited:
                yield self.replaced(number, index)

    def replaced(self, number: int, index: int) -> Done | Lost:
        """A new worker for one that has ended."""
        self.pool[number] = Worker()
        return Lost(index, "its worker has exited")

    def stop(self) -> None:
        """End all."""
        ALIVE.difference_update(each.process for each in self.pool)

    @classmethod
    def cases(cls) -> Iterable[ExecutorCase]:
        """Two workers."""
        yield ExecutorCase("two")


WRONG: list[tuple[str, type[Any]]] = []


def wrong(check: str) -> Any:
    """Register an executor that ``check`` must catch."""

    def register(executor: type[Any]) -> type[Any]:
        executor.__doc__ = executor.__doc__ or Pretending.__doc__
        WRONG.append((check, executor))
        return executor

    return register


@wrong("entry-point")
class NoExecutor:
    cases = Pretending.cases


@wrong("docstring")
class Undocumented(Pretending):
    """Runs tasks."""


@wrong("cases")
class WithoutCases(Pretending):
    @classmethod
    def cases(cls) -> Iterable[ExecutorCase]:
        return ()


@wrong("every-task")
class Forgetting(Pretending):
    def map(self, function: Any, tasks: Iterable[Any]) -> Iterator[Done | Lost]:
        return (each for each in super().map(function, tasks) if each.index != 5)


@wrong("every-task")
class Confusing(Pretending):
    def map(self, function: Any, tasks: Iterable[Any]) -> Iterator[Done | Lost]:
        for each in super().map(function, tasks):
            yield Done(each.index ^ 1, each.value) if isinstance(each, Done) and each.index > 5 else each


@wrong("lost")
class Hiding(Pretending):
    def replaced(self, number: int, index: int) -> Done | Lost:
        super().replaced(number, index)
        return Done(index, None)


@wrong("lost")
class Speechless(Pretending):
    def replaced(self, number: int, index: int) -> Done | Lost:
        super().replaced(number, index)
        return Lost(index, "")


@wrong("elsewhere")
class Here(Pretending):
    def start(self) -> None:
        import os

        super().start()
        for each in self.pool:
            each.process = os.getpid()


@wrong("elsewhere")
class Many(Pretending):
    def map(self, function: Any, tasks: Iterable[Any]) -> Iterator[Done | Lost]:
        for each in super().map(function, tasks):
            self.pool = [Worker() for _ in self.pool]
            yield each


@wrong("held")
class Shared(Pretending):
    def start(self) -> None:
        super().start()
        for each in self.pool:
            each.hold = self.pool[0].hold


@wrong("as-needed")
class Greedy(Pretending):
    def map(self, function: Any, tasks: Iterable[Any]) -> Iterator[Done | Lost]:
        return super().map(function, list(tasks))


@wrong("stopped")
class Endless(Pretending):
    def stop(self) -> None:
        """Do nothing."""


@wrong("job")
class Failing(Pretending):
    def map(self, function: Any, tasks: Iterable[Any]) -> Iterator[Done | Lost]:
        for each in super().map(function, tasks):
            failed = isinstance(each, Done) and getattr(each.value, "error", None)
            yield Lost(each.index, "something is wrong") if failed else each


@pytest.fixture(autouse=True)
def pretence(monkeypatch: pytest.MonkeyPatch) -> None:
    def exited(code: int) -> None:
        raise Exited

    def slept(seconds: float) -> None:
        """Do not wait."""

    pretended = types.SimpleNamespace(getpid=lambda: CURRENT.process, _exit=exited)
    monkeypatch.setattr(work, "os", pretended)
    monkeypatch.setattr(work, "time", types.SimpleNamespace(sleep=slept))
    monkeypatch.setattr(checklist, "runs", lambda process: process in ALIVE)
    monkeypatch.setattr(checklist, "SECONDS", 0.1)
    checklist._observed.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "executor"), WRONG, ids=lambda each: getattr(each, "__name__", each))
def test_the_check_catches_it(check_id: str, executor: type[Any]) -> None:
    assert failures("executor", executor, check_id)


@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_executor_passes(check_id: str) -> None:
    assert failures("executor", Pretending, check_id) == []


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, _ in WRONG} == set(CHECKS)
