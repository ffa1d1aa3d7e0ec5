"""Memory: activations and gradients planned from liveness, parameters in one arena."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel.blob import HOST, Blob, Place, SyncedArray

ALIGNMENT = 64


@attrs.frozen
class Life:
    """From which step to which an array's values matter, and how many bytes they take."""

    first: int
    last: int
    nbytes: int


@attrs.frozen
class Plan:
    """Where each array lies in one pool.

    Attributes:
        offsets: the byte at which each array begins.
        pool: bytes of the pool.
        alone: bytes the arrays would take with memory of their own.
    """

    offsets: list[int]
    pool: int
    alone: int


def plan(lives: Sequence[Life]) -> Plan:
    """Place arrays in a pool so that two overlap only if their lives do not: largest first."""
    placed: list[tuple[int, Life]] = []
    offsets = [0] * len(lives)
    for index in sorted(range(len(lives)), key=lambda i: (-lives[i].nbytes, i)):
        life = lives[index]
        contemporaries = sorted(
            (offset, offset + aligned(other.nbytes))
            for offset, other in placed
            if other.first <= life.last and life.first <= other.last
        )
        offsets[index] = _first_gap(contemporaries, aligned(life.nbytes))
        placed.append((offsets[index], life))
    pool = max((offset + aligned(life.nbytes) for offset, life in placed), default=0)
    return Plan(offsets, pool, sum(life.nbytes for life in lives))


def aligned(nbytes: int) -> int:
    """``nbytes`` rounded up to whole cache lines."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def _first_gap(taken: Iterable[tuple[int, int]], size: int) -> int:
    start = 0
    for low, high in taken:
        if low - start >= size:
            break
        start = max(start, high)
    return start


def aligned_empty(nbytes: int) -> npt.NDArray[np.uint8]:
    """Uninitialised bytes that begin on a cache line."""
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes]


def lives_of(steps: Sequence[Iterable[SyncedArray]], pinned: Iterable[SyncedArray]) -> dict[SyncedArray, Life]:
    """The life of each array touched by ``steps`` (in the order they run), but for the pinned."""
    spans: dict[SyncedArray, tuple[int, int]] = {}
    for index, touched in enumerate(steps):
        for array in touched:
            spans[array] = (spans.get(array, (index, index))[0], index)
    held = set(map(id, pinned))
    return {array: Life(first, last, array.nbytes) for array, (first, last) in spans.items() if id(array) not in held}


def bind_to_pool(lives: dict[SyncedArray, Life]) -> Plan:
    """Give the arrays slices of one new pool; values that were there before are dropped."""
    arrays = list(lives)
    planned = plan([lives[array] for array in arrays])
    pool = aligned_empty(planned.pool)
    for array, offset in zip(arrays, planned.offsets, strict=True):
        array.bind(HOST, pool[offset : offset + array.nbytes].view(array.dtype), keep=False)
    return planned


class Layout(Protocol):
    """How an engine stores one parameter in its own place: ``size`` values, padding included."""

    place: Place
    size: int

    def wrap(self, values: npt.NDArray[Any]) -> Any:
        """The place's array over a flat slice of an arena."""


@attrs.frozen
class Segment:
    """One parameter's stretch of an arena."""

    blob: Blob
    start: int
    stop: int
    lr_mult: float
    decay_mult: float
    layout: Layout | None = None

    @property
    def place(self) -> Place:
        """Where the stretch's values are at home."""
        return self.layout.place if self.layout else HOST


@attrs.frozen
class Stretch:
    """Consecutive segments with the same multipliers: an update runs over it in one go."""

    start: int
    stop: int
    lr_mult: float
    decay_mult: float


class Arena:
    """All learnable parameters' data in one flat array, and their diffs in another.

    Parameters with equal multipliers lie together. A parameter an engine keeps in a layout of its
    own lies here in that layout: what a solver does value by value does not care.

    Args:
        blobs: the learnable parameters.
        lr_mult, decay_mult: their multipliers.
        layouts: for each, the engine's layout, or None for plain.
    """

    def __init__(
        self,
        blobs: Sequence[Blob],
        lr_mult: Sequence[float],
        decay_mult: Sequence[float],
        layouts: Sequence[Layout | None],
    ) -> None:
        sizes = [layout.size if layout else blob.count_ for blob, layout in zip(blobs, layouts, strict=True)]
        dtype = blobs[0].dtype if blobs else np.dtype(np.float32)
        step = max(1, ALIGNMENT // dtype.itemsize)
        segments: dict[int, Segment] = {}
        offset = 0
        for i in sorted(range(len(blobs)), key=lambda i: (lr_mult[i], decay_mult[i], i)):
            segments[i] = Segment(blobs[i], offset, offset + sizes[i], lr_mult[i], decay_mult[i], layouts[i])
            offset += -(-sizes[i] // step) * step
        self.segments = [segments[i] for i in range(len(blobs))]
        self.size = offset
        self.dtype = dtype
        self.data = self.zeros()
        self.diff = self.zeros()
        for segment in self.segments:
            self._bind(segment.blob.synced_data, segment, self.data)
            self._bind(segment.blob.synced_diff, segment, self.diff)
        self.stretches = _stretches(sorted(self.segments, key=lambda segment: segment.start))

    def zeros(self) -> npt.NDArray[Any]:
        """Another array of the arena's size: a solver's history."""
        values = aligned_empty(self.size * self.dtype.itemsize).view(self.dtype)
        values[...] = 0
        return values

    def fetch(self) -> None:
        """Make the arena current: whatever was last written elsewhere is brought home."""
        for segment in self.segments:
            segment.blob.synced_data.write(segment.place)
            segment.blob.synced_diff.write(segment.place)

    def plain(self, values: npt.NDArray[Any], segment: Segment) -> npt.NDArray[Any]:
        """One segment of an array of the arena's size, as a new row-major host array."""
        stretch = values[segment.start : segment.stop]
        if segment.layout is None:
            return stretch.reshape(segment.blob.shape).copy()
        host = np.empty(segment.blob.count_, self.dtype)
        segment.layout.place.to_host(segment.layout.wrap(stretch), host)
        return host.reshape(segment.blob.shape)

    def store(self, plain: npt.ArrayLike, values: npt.NDArray[Any], segment: Segment) -> None:
        """The reverse of `plain`: put row-major values into a segment."""
        flat = np.asarray(plain, self.dtype).reshape(-1)
        stretch = values[segment.start : segment.stop]
        if segment.layout is None:
            stretch[...] = flat
        else:
            segment.layout.place.from_host(flat, segment.layout.wrap(stretch))

    def _bind(self, array: SyncedArray, segment: Segment, values: npt.NDArray[Any]) -> None:
        stretch = values[segment.start : segment.stop]
        target = segment.layout.wrap(stretch) if segment.layout else stretch
        array.bind(segment.place, target)


def _stretches(segments: Sequence[Segment]) -> list[Stretch]:
    found: list[Stretch] = []
    for segment in segments:
        mults = (segment.lr_mult, segment.decay_mult)
        if found and (found[-1].lr_mult, found[-1].decay_mult) == mults:
            found[-1] = attrs.evolve(found[-1], stop=segment.stop)
        else:
            found.append(Stretch(segment.start, segment.stop, *mults))
    return found
