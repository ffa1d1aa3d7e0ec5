"""Memory asked for while calls are prepared, noted and then placed in one pool."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

from cafx.kernel.blob import SyncedArray
from cafx.kernel.memory import Life, aligned_empty, plan

from .places import Blocked

if TYPE_CHECKING:
    from .operands import Operand

_local = threading.local()


@attrs.define(eq=False)
class Request:
    """Memory asked for while calls are prepared: by whom, and from which step to which it matters."""

    synced: SyncedArray
    operand: Operand
    first: int
    last: int
    nbytes: int
    array: Any


class Planner:
    """Takes note of what routines ask for, step by step, and then places it all in a pool.

    Args:
        lives: for each array that may share memory, the first and last step that touch it.
    """

    def __init__(self, lives: dict[SyncedArray, tuple[int, int]]) -> None:
        self.lives = lives
        self.requests: list[Request] = []

    def note(self, operand: Operand, array: Any) -> None:
        """An operand has been given memory, provisional until `place`; untouched memory costs nothing."""
        synced, place = operand.synced, operand.place
        life = self.lives.get(synced)
        if life is None or not isinstance(place, Blocked) or place.padded:
            return
        self.requests.append(Request(synced, operand, *life, array.nbytes, array))

    def place(self) -> int:
        """Give every request its part of one pool; returns the pool's bytes."""
        planned = plan([Life(each.first, each.last, each.nbytes) for each in self.requests])
        pool = aligned_empty(planned.pool)
        for each, offset in zip(self.requests, planned.offsets, strict=True):
            part = pool[offset : offset + each.nbytes].view(each.array.dtype)
            for synced in self.lives:
                for place, held in list(synced.arrays.items()):
                    if held is each.array:
                        synced.arrays[place] = part
            each.operand.move(part)
        return planned.pool


def current() -> Planner | None:
    """The planner at work in this thread."""
    return getattr(_local, "planner", None)


@contextlib.contextmanager
def planning(planner: Planner) -> Iterator[None]:
    """Let a planner take note of what this thread prepares."""
    _local.planner = planner
    try:
        yield
    finally:
        _local.planner = None
