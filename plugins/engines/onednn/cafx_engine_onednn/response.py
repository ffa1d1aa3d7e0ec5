"""Kernels of local response normalisation across any odd number of channels; oneDNN is fast for some numbers only.

They work on blocks of 16 channels, whose neighbourhoods reach into the blocks before and after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from cafx_lib_llvm import LANES, Arguments, Emitter, Value

from .operands import Bindable
from .valuewise import tasks_for
from .winograd.program import Cells, Region, Scratch, Tasks, pointer, task_kernel
from .winograd.tiling import split

REACH = 2 * LANES + 1
"""Channels of the widest neighbourhood: it ends in the next block."""
POWERS = (0.5, 0.75, 1.0)
"""The values of beta whose powers are square roots and quotients."""


@attrs.frozen(kw_only=True)
class ResponseArguments(Arguments):
    """Arguments of the kernels.

    Attributes:
        x: one image's blocks.
        scale: s of all values in float32, which the forward pass leaves for the backward pass.
        result: y, or dx.
        dy: the gradient of y.
        first, pixels: the pixels of the task.
        blocks, channels, length: number of blocks, of channels, and of values of a block.
        weight, constant: α / n and k; in the backward pass 2αβ / n and 0.
    """

    x: Region
    scale: Region
    result: Region
    dy: Region
    first: int
    pixels: int
    blocks: int
    channels: int
    length: int
    weight: float
    constant: float


class _Blocks:
    """What the kernels have in common: blocks of one pixel, one after another.

    Args:
        e: the kernel being written.
        size: number of channels of a neighbourhood.
        pixel: number of the pixel.
    """

    def __init__(self, e: Emitter, size: int, pixel: Value) -> None:
        self.e, self.args, self.radius = e, e.arguments, size // 2
        self._pixel = e.multiply(e.add(e.arguments.first, pixel), LANES)

    def place(self, block: Value) -> Value:
        """Where the values of a block begin."""
        return self.e.add(self._pixel, self.e.multiply(block, self.args.length))

    def readable(self, block: Value) -> Value:
        """The block, or the first one in place of what comes after the last."""
        return self.e.builder.select(self.e.is_within(block, self.args.blocks), block, self.e.integer(0))

    def channels(self, value: Value, block: Value) -> Value:
        """A block's values: 0 where there are no channels."""
        e = self.e
        rest = e.builder.sub(self.args.channels, e.multiply(block, LANES))
        return e.builder.select(e.first_lanes(rest), value, e.constant(0))

    def neighbourhood(self, before: Value, own: Value, after: Value) -> Value:
        """The sums over the neighbourhoods of a block's channels."""
        total, e = own, self.e
        for distance in range(1, self.radius + 1):
            lower = e.shuffle(before, own, range(LANES - distance, 2 * LANES - distance))
            upper = e.shuffle(own, after, range(distance, LANES + distance))
            total = e.builder.fadd(total, e.builder.fadd(lower, upper))
        return total


def _inverse_power(e: Emitter, scale: Value, beta: float) -> Value:
    """s^−β."""
    root = scale
    if beta == 0.5:
        root = e.square_root(scale)
    elif beta == 0.75:
        root = e.square_root(e.builder.fmul(scale, e.square_root(scale)))
    return e.builder.fdiv(e.constant(1), root)


@task_kernel(ResponseArguments)
def forward(e: Emitter, size: int, beta: float, bfloat16: bool, keeps: bool) -> None:
    """y = x · s^−β with s = k + α/n · Σ x²; with ``keeps``, s is written, too."""
    args, b, zero = e.arguments, e.builder, e.constant(0)
    x, y = (pointer(e, each, bfloat16=bfloat16) for each in (args.x, args.result))
    scale, weight, constant = pointer(e, args.scale), e.splat(args.weight), e.splat(args.constant)
    with e.loop(args.pixels) as pixel:
        blocks = _Blocks(e, size, pixel.index)

        def square(block: Value, blocks: _Blocks = blocks) -> Value:
            value = e.load(x, blocks.place(blocks.readable(block)))
            return blocks.channels(b.fmul(value, value), block)

        with e.loop(args.blocks, [zero, square(e.integer(0))]) as block:
            before, own = block.values
            after, at = square(e.add(block.index, 1)), blocks.place(block.index)
            s = e.fma(blocks.neighbourhood(before, own, after), weight, constant)
            y_value = b.fmul(e.load(x, at), _inverse_power(e, s, beta))
            e.store(blocks.channels(y_value, block.index), y, at)
            if keeps:
                e.store(s, scale, at)
            block.carry([own, after])


@task_kernel(ResponseArguments)
def backward(e: Emitter, size: int, beta: float, bfloat16: bool) -> None:
    """dx = dy · s^−β − 2αβ/n · x · Σ dy · x · s^−β / s."""
    args, b, zero = e.arguments, e.builder, e.constant(0)
    x, dy, dx = (pointer(e, each, bfloat16=bfloat16) for each in (args.x, args.dy, args.result))
    scale, weight = pointer(e, args.scale), e.splat(args.weight)
    with e.loop(args.pixels) as pixel:
        blocks = _Blocks(e, size, pixel.index)

        def terms(block: Value, blocks: _Blocks = blocks) -> list[Value]:
            at = blocks.place(blocks.readable(block))
            s = e.load(scale, at)
            direct = b.fmul(e.load(dy, at), _inverse_power(e, s, beta))
            term = b.fdiv(b.fmul(direct, e.load(x, at)), s)
            return [blocks.channels(each, block) for each in (term, direct)]

        with e.loop(args.blocks, [zero, *terms(e.integer(0))]) as block:
            before, own, direct = block.values
            after, following = terms(e.add(block.index, 1))
            at = blocks.place(block.index)
            correction = b.fmul(e.load(x, at), b.fmul(blocks.neighbourhood(before, own, after), weight))
            e.store(blocks.channels(b.fsub(direct, correction), block.index), dx, at)
            block.carry([own, after, following])


@attrs.frozen(kw_only=True)
class Response:
    """A local response normalisation across channels.

    Attributes:
        size: n, the number of channels of a neighbourhood.
        alpha, beta, k: its constants.
        bfloat16: whether values are bfloat16.
    """

    size: int
    alpha: float
    beta: float
    k: float
    bfloat16: bool


def program(
    response: Response,
    shape: Sequence[int],
    memory: Mapping[str, Bindable],
    *,
    keeps: bool,
    threads: int,
    scratch: Scratch,
) -> Tasks:
    """The program of a pass: backward if there is ``dy``, else forward.

    Args:
        response: what is computed.
        shape: N×C×H×W.
        memory: operands by the names of `ResponseArguments`.
        keeps: whether the forward pass writes ``scale``.
        threads: how many to use.
        scratch: provider of scratch buffers.
    """
    (images, channels, height, width), cells = shape, Cells()
    blocks, pixels, constants = -(-channels // LANES), height * width, (response.size, response.beta, response.bfloat16)
    factor = 2 * response.beta if "dy" in memory else 1
    numbers = {"channels": channels, "blocks": blocks, "length": pixels * LANES, "constant": response.k}
    numbers["weight"] = response.alpha / response.size * factor
    kernel = backward(*constants) if "dy" in memory else forward(*constants, keeps)
    places = {name: cells.of(each) for name, each in memory.items()}
    tasks = []
    for image in range(images):
        start = image * blocks * pixels * LANES
        regions = {name: Region(places.get(name, places["x"]), start) for name in ("x", "scale", "result", "dy")}
        for first, count in split(pixels, -(-tasks_for(images * blocks * pixels, threads) // images)):
            tasks.append([kernel.call(ResponseArguments(**regions, **numbers, first=first, pixels=count))])
    return Tasks(min(threads, len(tasks)), cells, scratch("response.threads", threads), [tasks])
