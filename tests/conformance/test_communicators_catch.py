"""Each check of the checklist of communicators catches a communicator that violates its requirement.

Ranks are threads here, which meet at a barrier: a start of processes takes seconds.
"""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from cafx.conformance import load_checks
from cafx.conformance.catching import failures
from cafx.conformance.kinds import communicator as checklist
from cafx.conformance.kinds import ranks as works
from cafx.conformance.kinds.communicator import CommunicatorCase
from cafx.kernel import CafxError
from cafx.kernel.net import Communicator

CHECKS = load_checks("communicator")


class Ended(Exception):
    """A rank has ended."""


class Meeting:
    """What ranks share."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=5)
        self.boxes: list[Any] = [None] * size


class Threads(Communicator):
    """Ranks that are threads of one process."""

    name = "threads"

    def __init__(self, meeting: Meeting, rank: int) -> None:
        self.meeting, self.rank, self.size = meeting, rank, len(meeting.boxes)

    def exchange(self, own: Any) -> list[Any]:
        """What every rank has put."""
        try:
            self.meeting.boxes[self.rank] = own
            self.meeting.barrier.wait()
            found = list(self.meeting.boxes)
            self.meeting.barrier.wait()
        except threading.BrokenBarrierError:
            raise CafxError("another rank has ended") from None
        return found

    def allreduce(self, array: Any) -> None:
        """In the order of ranks."""
        array[...] = sum(self.exchange(array.copy()))

    def broadcast(self, array: Any) -> None:
        """That of rank 0."""
        array[...] = self.exchange(array.copy())[0]

    def gather(self, data: bytes) -> list[bytes]:
        """By rank."""
        return self.exchange(data)

    def barrier(self) -> None:
        """Wait."""
        self.exchange(None)

    def abort(self, status: int = 1) -> None:
        """End all."""
        self.meeting.barrier.abort()
        raise Ended

    @classmethod
    def cases(cls) -> Iterable[CommunicatorCase]:
        """Two threads."""
        yield CommunicatorCase("threads", lambda size, program: started(cls, size, program))


def died(ranks: Any) -> None:
    """As `works.died`, for a thread."""
    if ranks.rank == 1:
        ranks.meeting.barrier.abort()
        raise Ended
    for _ in range(50):
        ranks.barrier()


def started(made: type[Threads], size: int, program: str) -> tuple[str, Sequence[int]]:
    """Run the work of a program in threads."""
    work = next(each for each in (works.exchanged, works.aborted, works.died) if f"{each.__name__}(" in program)
    work = died if work is works.died else work
    meeting, output = Meeting(size), io.StringIO()

    def run(rank: int) -> int:
        try:
            found = work(made(meeting, rank))
            output.write(works.MARK + json.dumps(found) + "\n")
        except Exception:  # noqa: BLE001 - a process would end by it
            meeting.barrier.abort()
            return 1
        return 0

    with ThreadPoolExecutor(size) as pool:
        codes = list(pool.map(run, range(size)))
    return output.getvalue(), codes


WRONG: list[tuple[str, type[Any]]] = []


def wrong(check: str) -> Any:
    """Register a communicator that ``check`` must catch."""

    def register(communicator: type[Any]) -> type[Any]:
        communicator.__doc__ = communicator.__doc__ or Threads.__doc__
        WRONG.append((check, communicator))
        return communicator

    return register


@wrong("entry-point")
class NoCommunicator:
    cases = Threads.cases


@wrong("docstring")
class Undocumented(Threads):
    """Threads."""


@wrong("cases")
class WithoutCases(Threads):
    @classmethod
    def cases(cls) -> Iterable[CommunicatorCase]:
        return ()


@wrong("name")
class Misnamed(Threads):
    name = "other"


@wrong("ranks")
class FromOne(Threads):
    def gather(self, data: bytes) -> list[bytes]:
        found = super().gather(data)
        self.rank += 1
        return found


@wrong("ranks")
class Alone(Threads):
    def __init__(self, meeting: Meeting, rank: int) -> None:
        super().__init__(meeting, rank)
        self.size = 1


@wrong("allreduce")
class Largest(Threads):
    def allreduce(self, array: Any) -> None:
        array[...] = np.max(self.exchange(array.copy()), axis=0)


@wrong("allreduce")
class NotStarted(Threads):
    def start_allreduce(self, array: Any) -> Any:
        return lambda: None


@wrong("broadcast")
class FromLast(Threads):
    def broadcast(self, array: Any) -> None:
        array[...] = self.exchange(array.copy())[-1]


@wrong("gather")
class Padded(Threads):
    def gather(self, data: bytes) -> list[bytes]:
        found = super().gather(data)
        if data[:1].isdigit() and b"." in data:
            return found
        return [each.ljust(10, b" ") for each in found]


@wrong("barrier")
class Impatient(Threads):
    def barrier(self) -> None:
        """Do not wait."""


@wrong("deterministic")
class OwnOrder(Threads):
    def allreduce(self, array: Any) -> None:
        values = self.exchange(array.copy())
        array[...] = sum(values) + np.float32(1e-3 * self.rank)


@wrong("deterministic")
class Drifting(Threads):
    runs = 0

    def allreduce(self, array: Any) -> None:
        values = self.exchange(array.copy())
        array[...] = sum(values) + np.float32(time.perf_counter_ns() % 1000)


@wrong("compression")
class Compressing(Threads):
    def compress_gradients(self, kind: str) -> None:
        """Take anything."""


@wrong("abort")
class Deaf(Threads):
    def abort(self, status: int = 1) -> None:
        """Do nothing."""


@wrong("lost")
class Tolerant(Threads):
    def barrier(self) -> None:
        try:
            super().barrier()
        except CafxError:
            return


@pytest.fixture(autouse=True)
def fresh() -> None:
    checklist.exchanged.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "communicator"), WRONG, ids=lambda each: getattr(each, "__name__", each))
def test_the_check_catches_it(check_id: str, communicator: type[Any]) -> None:
    assert failures("communicator", communicator, check_id, name="threads")


@pytest.mark.slow
@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_communicator_passes(check_id: str) -> None:
    assert failures("communicator", Threads, check_id, name="threads") == []


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, _ in WRONG} == set(CHECKS)
