"""What the kernels of batch normalisation in training are written with: arguments, and loops over a task's share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs
import llvmlite.ir as ir

from cafx_lib_llvm import FLOAT, INT, LANES, Arguments, Emitter, Value

from .winograd.program import Region, pointer

UNROLLED = 4
"""Pixels whose sums are computed side by side, since each addition waits for the one before."""
BITS = ir.IntType(LANES)
"""One bit for each lane of a vector."""
SUMS, KEPT = 3, 4
"""Vectors for each block that a part leaves for the second half of a pass, and that a task keeps between its loops."""


@attrs.frozen(kw_only=True)
class Size(Arguments):
    """The size of the blobs.

    Attributes:
        images: number of images.
        blocks: number of blocks of 16 channels.
        pixels: values per channel of an image.
    """

    images: int
    blocks: int
    pixels: int


@attrs.frozen(kw_only=True)
class Share(Arguments):
    """What a task works on.

    Attributes:
        block, blocks: first block of channels, and number of blocks.
        first, images: first image, and number of images.
        part, parts: which part of the batch these are, and number of parts.
    """

    block: int
    blocks: int
    first: int
    images: int
    part: int
    parts: int


@attrs.frozen(kw_only=True)
class NormArguments(Arguments):
    """Arguments of the kernels.

    Attributes:
        x, z, y: bottom, addend and top.
        dx, dz: gradients of bottom and addend.
        dy, dy2: the gradients of the top.
        passed: the bits.
        mean, variance: one value per channel.
        scale, shift: γ and β.
        dscale, dshift: their gradients.
        sums: `SUMS` vectors per block and part.
        own: `KEPT` vectors per block of a task.
        eps: added to the variance.
        size: of all blobs.
        share: the task's.
    """

    x: Region
    z: Region
    y: Region
    dx: Region
    dz: Region
    dy: Region
    dy2: Region
    passed: Region
    mean: Region
    variance: Region
    scale: Region
    shift: Region
    dscale: Region
    dshift: Region
    sums: Region
    own: Region
    eps: float
    size: Size
    share: Share


class NormTask:
    """Code that the kernels have in common: loops over the blocks and images of a task.

    Args:
        e: the kernel being written.
        names: the operands it uses.
    """

    def __init__(self, e: Emitter, names: Sequence[str]) -> None:
        self.e, self.b, self.args = e, e.builder, e.arguments
        self.size, self.share = self.args.size, self.args.share
        self.at = {name: pointer(e, getattr(self.args, name)) for name in (*names, "sums", "own")}
        self.bits = self.b.bitcast(self.at["passed"], BITS.as_pointer()) if "passed" in names else None
        self.count = self.number(self.size.images)

    def number(self, images: Value) -> Value:
        """The number of values per channel of some images, in all lanes."""
        return self.e.splat(self.b.sitofp(self.e.multiply(images, self.size.pixels), FLOAT))

    @contextlib.contextmanager
    def blocks(self) -> Iterator[NormBlock]:
        """A loop over the blocks of channels."""
        with self.e.loop(self.share.blocks) as loop:
            yield NormBlock(self, loop.index)

    @contextlib.contextmanager
    def blocks_of_images(self) -> Iterator[tuple[NormBlock, Value]]:
        """A loop over the images and, in each, over the blocks, which lie side by side in memory."""
        with self.e.loop(self.share.images) as image, self.blocks() as block:
            yield block, self.e.add(self.share.first, image.index)

    def load(self, name: str, vector: Value) -> Value:
        """A vector of a blob, given its number."""
        return self.e.load(self.at[name], self.e.multiply(vector, LANES))

    def store(self, name: str, value: Value, vector: Value) -> None:
        """Write a vector of a blob."""
        self.e.store(value, self.at[name], self.e.multiply(vector, LANES))

    def added(self, totals: Sequence[Value], terms: Sequence[Value]) -> list[Value]:
        """Sums of pairs."""
        return [self.b.fadd(*pair) for pair in zip(totals, terms, strict=True)]

    def inverse_deviation(self, variance: Value) -> Value:
        """1 / √(σ² + eps)."""
        e = self.e
        return self.b.fdiv(e.constant(1), e.square_root(self.b.fadd(variance, e.splat(self.args.eps))))


class NormBlock:
    """Code for one block of channels.

    Args:
        task: the kernel.
        index: which of its blocks.
    """

    def __init__(self, task: NormTask, index: Value) -> None:
        self.task, self.e = task, task.e
        self.block = self.e.add(task.share.block, index)
        self._channel = self.e.multiply(self.block, LANES)
        self._kept = self.e.at(task.at["own"], self.e.multiply(index, KEPT * LANES))

    def channels(self, name: str) -> Value:
        """One value for each channel."""
        return self.e.load(self.task.at[name], self._channel)

    def set_channels(self, values: Mapping[str, Value]) -> None:
        """Write values of the channels, once."""
        with self.e.if_then(self.task.b.icmp_signed("==", self.task.share.part, INT(0))):
            for name, value in values.items():
                self.e.store(value, self.task.at[name], self._channel)

    def keep(self, *values: Value) -> None:
        """Keep vectors from one loop to the next."""
        for index, each in enumerate(values):
            self.e.store(each, self._kept, index * LANES)

    def kept(self, count: int) -> list[Value]:
        """These vectors."""
        return [self.e.load(self._kept, index * LANES) for index in range(count)]

    def add(self, *terms: Value) -> None:
        """Add to the vectors."""
        self.keep(*self.task.added(self.kept(len(terms)), terms))

    def start(self, image: Value) -> Value:
        """The number of the first vector of an image."""
        row = self.e.add(self.e.multiply(image, self.task.size.blocks), self.block)
        return self.e.multiply(row, self.task.size.pixels)

    def each(self, image: Value, body: Callable[[Value], None]) -> None:
        """Do something for every vector of an image, given its number."""
        start = self.start(image)
        with self.e.loop(self.task.size.pixels) as pixel:
            body(self.e.add(start, pixel.index))

    def sums(self, image: Value, body: Callable[[Value], Sequence[Value]], count: int) -> list[Value]:
        """Sums of what is computed for every vector of an image, given its number."""
        e, task, start, zeros = self.e, self.task, self.start(image), [self.e.constant(0)] * count
        turns = task.b.sdiv(task.size.pixels, INT(UNROLLED))
        with e.loop(turns, zeros * UNROLLED, may_be_empty=True) as turn:
            first = e.add(start, e.multiply(turn.index, UNROLLED))
            terms = [term for k in range(UNROLLED) for term in body(e.add(first, k))]
            turn.carry(task.added(turn.values, terms))
        done = e.multiply(turns, UNROLLED)
        with e.loop(task.b.sub(task.size.pixels, done), zeros, may_be_empty=True) as rest:
            rest.carry(task.added(rest.values, body(e.add(start, done, rest.index))))
        total = list(rest.values)
        for k in range(UNROLLED):
            total = task.added(total, turn.values[k * count : (k + 1) * count])
        return total

    def _sums_of(self, part: Value) -> Value:
        row = self.e.add(self.e.multiply(self.block, self.task.share.parts), part)
        return self.e.at(self.task.at["sums"], self.e.multiply(row, SUMS * LANES))

    def leave(self, *sums: Value) -> None:
        """Leave sums for the second half of the pass."""
        target = self._sums_of(self.task.share.part)
        for index, each in enumerate(sums):
            self.e.store(each, target, index * LANES)

    def combined(self, body: Callable[[Sequence[Value]], Sequence[Value]], count: int) -> list[Value]:
        """Sums over all parts of what is computed from what each has left."""
        with self.e.loop(self.task.share.parts, [self.e.constant(0)] * count) as part:
            left = self._sums_of(part.index)
            terms = body([self.e.load(left, index * LANES) for index in range(SUMS)])
            part.carry(self.task.added(part.values, terms))
        return list(part.values)
