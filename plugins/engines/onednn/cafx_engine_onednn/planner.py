"""Memory asked for while calls are prepared, noted and then placed in one pool."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Set
from typing import TYPE_CHECKING, Any

import attrs

from cafx.kernel.blob import SyncedArray
from cafx.kernel.net import Life, aligned_empty, plan

from .layouts import Blocked

if TYPE_CHECKING:
    from .operands import Operand

_local = threading.local()


@attrs.define(eq=False)
class Piece:
    """Provisional memory: what it holds, from which step to which it matters, and who points at it."""

    synced: SyncedArray
    place: Blocked
    array: Any
    first: int
    last: int
    operands: list[Operand] = attrs.field(factory=list)


class Planner:
    """Takes note of what routines ask for, step by step, and then places it in a pool.

    Args:
        lives: for each array that may share memory, the first and last step that touch it.
        passing: arrays each piece of whose memory lives only as long as the steps that are prepared
            with it, and may share memory if that is before ``end``.
        end: the step at which memory of ``passing`` must no longer matter.

    Attributes:
        step: the step whose calls are being prepared.
    """

    def __init__(
        self, lives: Mapping[SyncedArray, tuple[int, int]], passing: Set[SyncedArray] = frozenset(), end: int = 0
    ) -> None:
        self.lives, self.passing, self.end = lives, passing, end
        self.step = 0
        self._pieces: dict[int, Piece] = {}
        self._passing: dict[SyncedArray, list[Piece]] = {}

    def note(self, operand: Operand, array: Any, *, fresh: bool, first: bool) -> None:
        """An operand is used in the step being prepared; untouched memory costs nothing.

        Args:
            operand: the operand.
            array: the memory it points at.
            fresh: whether this was made for it just now.
            first: whether this is its first use: it may then be brought up to date from any place.
        """
        synced, place = operand.synced, operand.place
        if fresh and isinstance(place, Blocked) and not place.padded:
            if synced in self.lives:
                self._pieces[id(array)] = Piece(synced, place, array, *self.lives[synced])
            elif synced in self.passing:
                piece = self._pieces[id(array)] = Piece(synced, place, array, self.step, self.step)
                self._passing.setdefault(synced, []).append(piece)
        met = self._pieces.get(id(array))
        if met is not None and operand not in met.operands:
            met.operands.append(operand)
        for each in self._passing.get(synced, ()):
            if first or each is met:
                each.last = self.step

    def place(self) -> tuple[int, list[Piece]]:
        """Give every piece that may share its part of one pool.

        Returns:
            The pool's bytes, and the pieces of ``passing`` in it.
        """
        pieces = [each for each in self._pieces.values() if each.synced in self.lives or each.last < self.end]
        planned = plan([Life(each.first, each.last, each.array.nbytes) for each in pieces])
        pool = aligned_empty(planned.pool)
        moved: dict[int, Any] = {}
        for each, offset in zip(pieces, planned.offsets, strict=True):
            part = pool[offset : offset + each.array.nbytes].view(each.array.dtype)
            moved[id(each.array)] = part
            for operand in each.operands:
                operand.move(part)
        for synced in (*self.lives, *self.passing):
            synced.arrays.update({p: moved[id(held)] for p, held in synced.arrays.items() if id(held) in moved})
        for each in pieces:
            each.array = moved[id(each.array)]
        return planned.pool, [each for each in pieces if each.synced in self.passing]


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
