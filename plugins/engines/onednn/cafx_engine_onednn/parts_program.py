"""The kernel that normalises one part of a blob's channels."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from cafx_lib_llvm import LANES, Arguments, Emitter

from .operands import Bindable
from .parts import Factors
from .winograd.finite import keep_unless_zero, leaky
from .winograd.program import Cells, Region, Scratch, Tasks, pointer, task_kernel
from .winograd.tiling import split

TASKS_PER_THREAD = 4


@attrs.frozen(kw_only=True)
class PartArguments(Arguments):
    """Arguments of `normalise_part`.

    Attributes:
        source: the part of one image, blocks × pixels × 16.
        target: the same blocks of the result.
        mean, factor, shift: one value per channel, from those of the part on.
        slope: negative slope of the ReLU; 1 for no ReLU.
        blocks, pixels: number of blocks, and of pixels of each.
    """

    source: Region
    target: Region
    mean: Region
    factor: Region
    shift: Region
    slope: float
    blocks: int
    pixels: int


@task_kernel(PartArguments)
def normalise_part(e: Emitter) -> None:
    """y = relu((x − μ) · factor + shift)."""
    args = e.arguments
    source, target, mean, factor, shift = (
        pointer(e, each) for each in (args.source, args.target, args.mean, args.factor, args.shift)
    )
    slope = e.splat(args.slope)
    kept = keep_unless_zero(e, slope)
    with e.loop(args.blocks) as block:
        channel = e.multiply(block.index, LANES)
        first = e.multiply(channel, args.pixels)
        centre, scale, offset = (e.load(each, channel) for each in (mean, factor, shift))
        with e.loop(args.pixels) as pixel:
            at = e.add(first, e.multiply(pixel.index, LANES))
            y = e.fma(e.builder.fsub(e.load(source, at), centre), scale, offset)
            e.store(leaky(e, y, slope, kept), target, at)


def program(
    parts: Sequence[Bindable],
    result: Bindable,
    factors: Factors,
    slope: float | None,
    *,
    threads: int,
    scratch: Scratch,
) -> Tasks:
    """The normalisation of parts in blocks of 16 channels.

    Args:
        parts: N × C × H × W, along the channels.
        result: all channels, in blocks of 16, too.
        factors: of all channels.
        slope: of the ReLU, or None.
        threads: how many to use.
        scratch: provider of scratch buffers.
    """
    cells, kernel = Cells(), normalise_part()
    images, channels, height, width = result.desc.dims
    pixels, target = height * width, cells.of(result)
    values = {name: cells.of(getattr(factors, name)) for name in ("mean", "factor", "shift")}
    calls, first = [], 0
    for part in parts:
        source, count = cells.of(part), part.desc.dims[1]
        regions = {name: Region(cell, first) for name, cell in values.items()}
        calls += [
            kernel.call(
                PartArguments(
                    source=Region(source, image * count * pixels),
                    target=Region(target, (image * channels + first) * pixels),
                    **regions,
                    slope=1.0 if slope is None else slope,
                    blocks=count // LANES,
                    pixels=pixels,
                )
            )
            for image in range(images)
        ]
        first += count
    tasks = [calls[start : start + count] for start, count in split(len(calls), TASKS_PER_THREAD * threads)]
    return Tasks(threads, cells, scratch("parts.threads", threads), [tasks])
