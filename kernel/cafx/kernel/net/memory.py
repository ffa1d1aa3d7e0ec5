"""The memory plan: arrays whose lives do not overlap share the bytes of a pool.

A step declares what each of its passes reads and writes; from this `plan_memory` derives when the
copy of an array in a place begins and ceases to matter. It decides nothing else and changes
nothing: what it returns is attached by the `Program`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

import attrs

from cafx.kernel.blob import ALIGNMENT, Place, SyncedArray


@attrs.define(eq=False)
class Use:
    """One array in one place, as one routine uses it.

    Attributes:
        storage: the array.
        place: where the routine reads or writes it.
        apart: whether the routine writes it to memory apart from that of others who hold the same
            array in the same place: for a layer in place that needs what it overwrites.
    """

    storage: SyncedArray
    place: Place
    apart: bool = False

    @property
    def shareable(self) -> bool:
        """Whether its memory may be a slice of a pool."""
        return self.place.shareable

    def attach(self, array: Any) -> None:
        """Take ``array``, a slice of a pool, as the memory."""
        self.storage.attach(self.place, array, keep=False)


@attrs.frozen(eq=False)
class Access:
    """What one pass of a routine does with arrays.

    Attributes:
        reads: brought up to date in their places, then read (and perhaps changed).
        writes: overwritten; afterwards these are the only current copies.
        keeps: used as an earlier pass of the same routine left them, without being brought up to date.
        aliases: pairs (use, of): the array of ``use`` is from here on in the memory of ``of``.
    """

    reads: Sequence[Use] = ()
    writes: Sequence[Use] = ()
    keeps: Sequence[Use] = ()
    aliases: Sequence[tuple[Use, Use]] = ()


class Planned(Protocol):
    """A step, as far as the planner is concerned."""

    @property
    def needs_backward(self) -> bool:
        """Whether the backward pass runs it."""

    def accesses(self, *, backward: bool) -> Iterable[Access]:
        """Its accesses in one direction, in the order they happen."""


@attrs.define(eq=False)
class Buffer:
    """The memory of one array in one place.

    Attributes:
        storage, place: what it holds.
        uses: who uses it.
        first, last: the passes between which its contents matter.
        nbytes: its size.
        shared: whether it is part of a pool.
        offset: where it begins in the pool.
    """

    storage: SyncedArray
    place: Place
    first: int
    last: int
    nbytes: int
    shared: bool
    offset: int = 0
    uses: list[Use] = attrs.field(factory=list)


@attrs.frozen
class MemoryPlan:
    """Which buffers a program has, and where the shared ones are.

    Attributes:
        buffers: every buffer, shared or not.
        pools: bytes of the pool of each kind of memory, with a place that allocates it.
        expired: for each step of a forward pass, then of a backward pass, the shared copies that
            it is the last to use.
        conversions: how many times a pass converts an array from place to place.
        held: bytes that routines hold beside the buffers, between passes or for one call.
    """

    buffers: Sequence[Buffer] = ()
    pools: Sequence[tuple[Place, int]] = ()
    expired: Sequence[Sequence[Buffer]] = ()
    conversions: int = 0
    held: int = 0

    @property
    def pool(self) -> int:
        """Bytes of all pools."""
        return sum(nbytes for _, nbytes in self.pools)

    @property
    def alone(self) -> int:
        """Bytes the shared buffers would take without sharing."""
        return sum(buffer.nbytes for buffer in self.buffers if buffer.shared)

    @property
    def unshared(self) -> int:
        """Bytes of the buffers outside the pools."""
        return sum(buffer.nbytes for buffer in self.buffers if not buffer.shared)


def plan_memory(
    steps: Sequence[Planned], kept: Collection[SyncedArray] | None, *, has_backward: bool = True
) -> MemoryPlan:
    """Where arrays are while a net runs forward and then backward.

    A copy's life begins with the access that writes it, or with the conversion that makes it, and
    ends with the last access of its array before the array is written again. What is read before
    anything in the pass wrote it comes from outside and is not shared.

    Args:
        steps: the steps, in the order of the forward pass, after fusion.
        kept: arrays that must keep their values after the pass; None for all, so that nothing is shared.
        has_backward: whether a backward pass follows.

    Returns:
        The buffers, with the offsets of the shared ones: two overlap only if their lives do not.

    Example:
        Three steps write a, b and c, each of which the next step reads; c reuses the bytes of a.

        >>> from cafx.kernel.blob import HOST
        >>> @attrs.frozen
        ... class Example:
        ...     reads: tuple
        ...     writes: tuple
        ...     needs_backward = False
        ...
        ...     def accesses(self, *, backward):
        ...         return [Access(self.reads, self.writes)]
        >>> a, b, c = [Use(SyncedArray(16, "float32"), HOST) for _ in range(3)]
        >>> plan = plan_memory([Example((), (a,)), Example((a,), (b,)), Example((b,), (c,))], kept=())
        >>> [buffer.offset for buffer in plan.buffers], plan.pool, plan.alone
        ([0, 64, 0], 128, 192)
    """
    backward = [step for step in reversed(steps) if step.needs_backward and has_backward]
    lives = _Lives(kept)
    ends: list[int] = []
    for step, direction in [*((s, False) for s in steps), *((s, True) for s in backward)]:
        for access in step.accesses(backward=direction):
            lives.add(access)
        ends.append(lives.now)
    shared = [buffer for buffer in lives.buffers if buffer.shared]
    pools = []
    for memory in sorted({buffer.place.memory for buffer in shared}):
        together = [buffer for buffer in shared if buffer.place.memory == memory]
        pools.append((together[0].place, place_buffers(together)))
    return MemoryPlan(lives.buffers, pools, _expired(shared, ends), lives.conversions)


class _Lives:
    """Follows the accesses of a pass and notes when each buffer matters."""

    def __init__(self, kept: Collection[SyncedArray] | None) -> None:
        self.kept = kept
        self.now = 0
        self.buffers: list[Buffer] = []
        self.conversions = 0
        self._bases: dict[tuple[SyncedArray, Place], Buffer] = {}
        self._by_use: dict[Use, Buffer] = {}
        self._current: dict[SyncedArray, dict[Place, Buffer]] = {}
        self._latest: dict[tuple[SyncedArray, Place], Buffer] = {}

    def add(self, access: Access) -> None:
        """The next access."""
        self.now += 1
        for use in access.reads:
            self._read(use)
        for use in access.keeps:
            self._touch(self._by_use.get(use) or self._base(use), use)
        for use in access.writes:
            self._write(use, self._by_use.get(use) or (self._buffer(use) if use.apart else self._newest(use)))
        for use, of in access.aliases:
            buffer = self._by_use[of]
            buffer.shared = buffer.shared and self._shareable(use)
            self._write(use, buffer)

    def _read(self, use: Use) -> None:
        current = self._current.setdefault(use.storage, {})
        if use.place not in current:
            buffer = self._newest(use)
            if current:
                self.conversions += 1
            else:
                buffer.shared = False  # its values come from outside the pass
            current[use.place] = buffer
        self._latest[use.storage, use.place] = current[use.place]
        self._touch(current[use.place], use)
        for buffer in current.values():  # a layer may convert later than it says
            buffer.last = self.now

    def _write(self, use: Use, buffer: Buffer) -> None:
        self._current[use.storage] = {use.place: buffer}
        self._latest[use.storage, use.place] = buffer
        self._touch(buffer, use)

    def _touch(self, buffer: Buffer, use: Use) -> None:
        buffer.last = self.now
        if use not in self._by_use:
            self._by_use[use] = buffer
            buffer.uses.append(use)

    def _newest(self, use: Use) -> Buffer:
        """Where the array was last in this place: a layer in place may have moved it to memory apart."""
        return self._latest.get((use.storage, use.place)) or self._base(use)

    def _base(self, use: Use) -> Buffer:
        key = use.storage, use.place
        if key not in self._bases:
            self._bases[key] = self._buffer(use)
        return self._bases[key]

    def _buffer(self, use: Use) -> Buffer:
        nbytes = use.place.nbytes(use.storage.count, use.storage.dtype)
        buffer = Buffer(use.storage, use.place, self.now, self.now, nbytes, self._shareable(use))
        self.buffers.append(buffer)
        return buffer

    def _shareable(self, use: Use) -> bool:
        return self.kept is not None and use.storage not in self.kept and use.shareable


def _expired(shared: Iterable[Buffer], ends: Sequence[int]) -> list[list[Buffer]]:
    """For each step, the buffers whose life ends with it."""
    expired: list[list[Buffer]] = [[] for _ in ends]
    for buffer in shared:
        step = next(index for index, end in enumerate(ends) if buffer.last <= end)
        expired[step].append(buffer)
    return expired


def place_buffers(buffers: Sequence[Buffer]) -> int:
    """Set the offsets of buffers that share a pool, the largest first; returns the pool's bytes."""
    placed: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda buffer: -buffer.nbytes):
        contemporaries = sorted(
            (other.offset, other.offset + aligned(other.nbytes))
            for other in placed
            if other.first <= buffer.last and buffer.first <= other.last
        )
        buffer.offset = _first_gap(contemporaries, aligned(buffer.nbytes))
        placed.append(buffer)
    return max((buffer.offset + aligned(buffer.nbytes) for buffer in placed), default=0)


def aligned(nbytes: int) -> int:
    """``nbytes`` rounded up to whole cache lines.

    Example:
        >>> aligned(65)
        128
    """
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def _first_gap(taken: Iterable[tuple[int, int]], size: int) -> int:
    start = 0
    for low, high in taken:
        if low - start >= size:
            break
        start = max(start, high)
    return start
