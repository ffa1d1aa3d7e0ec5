"""Concatenations without copies: in inference of one image, bottoms are computed where the top is.

In blocks of channels, the parts of one image's concatenation lie one after the other. If nobody reads a bottom after it
has been concatenated, its memory can be a slice of the top's; what computes it needs not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from cafx.kernel.blob import ALIGNMENT
from cafx.kernel.net import Buffer, MemoryPlan, place_buffers

from .exact import Bound
from .execution import Invocation
from .operands import Operand
from .recording import Recording


@attrs.frozen
class Slices:
    """What lies one after the other in memory.

    Attributes:
        parts: the parts, in order.
        whole: all of them.
    """

    parts: Sequence[Operand]
    whole: Operand


class Copies(Bound):
    """The copies of a concatenation, unless all parts are in their slices.

    Args:
        slices: the operands.
        call: copies them.
    """

    def __init__(self, slices: Slices, call: Invocation) -> None:
        super().__init__(lambda: [call])
        self._slices = slices
        self._seen: list[Any] = []
        self._in_place = False

    def in_place(self) -> bool:
        """Whether there is nothing to copy."""
        arrays = [self._slices.whole.array, *(each.array for each in self._slices.parts)]
        if len(self._seen) != len(arrays) or any(
            one is not other for one, other in zip(arrays, self._seen, strict=True)
        ):
            self._seen, self._in_place = arrays, _one_after_the_other(arrays)
        return self._in_place

    def join(self, recording: Recording) -> bool:
        """Write down the copies, or that there are none as long as that is so."""
        if not self.in_place():
            return super().join(recording)
        recording.conditions.append(self.in_place)
        return True

    def release(self) -> None:
        """Let go of memory."""
        super().release()
        self._seen = []

    def __call__(self) -> None:
        """Copy what is elsewhere."""
        if not self.in_place():
            super().__call__()


def _one_after_the_other(arrays: Sequence[Any]) -> bool:
    """Whether the first array's bytes are those of the others."""
    whole, *parts = arrays
    at = whole.ctypes.data
    for each in parts:
        if each.ctypes.data != at:
            return False
        at += each.nbytes
    return bool(at == whole.ctypes.data + whole.nbytes)


def lay_out(plan: MemoryPlan, concatenations: Iterable[Slices]) -> MemoryPlan:
    """The memory plan with parts in slices of their concatenations, where lives allow it.

    Args:
        plan: the plan; its buffers are changed.
        concatenations: in the order in which they are computed.
    """
    buffers = {use: buffer for buffer in plan.buffers for use in buffer.uses}
    places: dict[Buffer, tuple[Buffer, int]] = {}
    for each in concatenations:
        whole, parts = buffers.get(each.whole), [buffers.get(part) for part in each.parts]
        if whole is None or not _fit(whole, parts, places):
            continue
        offset = 0
        for part in parts:
            assert part is not None
            places[part] = whole, offset
            offset += part.nbytes
            whole.first = min(whole.first, part.first)
    if not places:
        return plan
    roots = [buffer for buffer in plan.buffers if buffer.shared and buffer not in places]
    pools = [
        (place, place_buffers([each for each in roots if each.place.memory == place.memory])) for place, _ in plan.pools
    ]
    for part in places:
        part.offset = _offset(part, places)
    return attrs.evolve(plan, pools=pools)


def _fit(whole: Buffer, parts: Sequence[Buffer | None], places: dict[Buffer, tuple[Buffer, int]]) -> bool:
    """Whether parts may be slices: each its own, read last where they are concatenated, and whole cache lines long."""
    if len(set(parts)) != len(parts) or not whole.shared or not _of_one_array(whole):
        return False
    for part in parts:
        if part is None or not part.shared or part in places or part.last != whole.first or not _of_one_array(part):
            return False
        if part.nbytes % ALIGNMENT or part.place.memory != whole.place.memory:
            return False
    return whole.nbytes == sum(part.nbytes for part in parts if part)


def _of_one_array(buffer: Buffer) -> bool:
    return all(use.storage is buffer.storage for use in buffer.uses)


def _offset(buffer: Buffer, places: dict[Buffer, tuple[Buffer, int]]) -> int:
    """Where a buffer begins in its pool."""
    if buffer not in places:
        return buffer.offset
    whole, offset = places[buffer]
    return _offset(whole, places) + offset
