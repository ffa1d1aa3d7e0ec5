"""Kernels of ROIPooling: maxima over bins, and their gradient, 16 channels at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy.typing as npt

from cafx_engine_onednn.operands import Bindable
from cafx_engine_onednn.valuewise import TASKS_PER_THREAD
from cafx_engine_onednn.winograd.program import Cells, Region, Scratch, Tasks, pointer, task_kernel
from cafx_engine_onednn.winograd.tiling import split
from cafx_lib_llvm import FLOAT, INT, INTS, LANE, LANES, Arguments, Emitter, Value
from cafx_lib_llvm.emitter import BITS, VECTOR


@attrs.frozen(kw_only=True)
class MaximaArguments(Arguments):
    """Arguments of the kernels.

    Attributes:
        x: features in blocks, or their gradient.
        y: maxima in blocks, or their gradient.
        positions: where in its plane each maximum is, as int32.
        table: address of a row per region: its image, then first and end of each bin's rows, and of its columns.
        first, regions: the regions of the task.
        block, blocks: the first block of the task, and how many.
        images, channels: number of images, and of an image's blocks.
        height, width: of the features.
        tall, wide: number of bins.
    """

    x: Region
    y: Region
    positions: Region
    table: int
    first: int
    regions: int
    block: int
    blocks: int
    images: int
    channels: int
    height: int
    width: int
    tall: int
    wide: int


@attrs.frozen
class Bin:
    """A bin of a region in one block of channels, in a kernel being written.

    Attributes:
        plane: offset of the block's values in the features.
        at: offset of the maxima.
        rows, columns: first and end.
        some: whether it has any values.
    """

    plane: Value
    at: Value
    rows: tuple[Value, Value]
    columns: tuple[Value, Value]
    some: Value


def _bins(e: Emitter, region: Value, block: Value) -> Iterator[Bin]:
    """A loop over the bins of a region."""
    args, b = e.arguments, e.builder
    row = e.at(b.inttoptr(args.table, INTS), e.multiply(region, e.add(1, e.multiply(2, e.add(args.tall, args.wide)))))
    plane = e.multiply(e.add(e.multiply(e.load_int(row, 0), args.channels), block), args.height, args.width, LANES)
    first = e.multiply(e.add(e.multiply(region, args.channels), block), args.tall, args.wide)
    with e.loop(args.tall) as i, e.loop(args.wide) as j:
        at = e.multiply(e.add(first, e.multiply(i.index, args.wide), j.index), LANES)
        rows, columns = _ends(e, row, i.index), _ends(e, row, e.add(args.tall, j.index))
        yield Bin(plane, at, rows, columns, e.all_of(*(b.icmp_signed("<", *each) for each in (rows, columns))))


def _ends(e: Emitter, row: Value, number: Value) -> tuple[Value, Value]:
    """First and end of a bin's rows or columns."""
    at = e.add(1, e.multiply(2, number))
    return e.load_int(row, at), e.load_int(row, e.add(at, 1))


@task_kernel(MaximaArguments)
def maxima(e: Emitter, bfloat16: bool, keeps: bool) -> None:
    """y = the maximum of each bin; NaN if one of its values is NaN, 0 if it has none.

    Args:
        e: the kernel being written.
        bfloat16: whether values are bfloat16.
        keeps: whether the positions are written.
    """
    args, b = e.arguments, e.builder
    x, y = (pointer(e, each, bfloat16=bfloat16) for each in (args.x, args.y))
    positions = pointer(e, args.positions)
    with e.loop(args.regions) as each, e.loop(args.blocks) as part:
        for bin_ in _bins(e, e.add(args.first, each.index), e.add(args.block, part.index)):
            best, where = _maximum(e, e.at(x, bin_.plane), bin_)
            e.store(b.select(bin_.some, best, e.constant(0)), y, bin_.at)
            if keeps:
                e.store(b.bitcast(where, VECTOR), positions, bin_.at)


def _maximum(e: Emitter, plane: Value, bin_: Bin) -> tuple[Value, Value]:
    """The maximum of a bin and its first position; NaN is larger than all numbers."""
    b, width, ((top, bottom), (left, right)) = e.builder, e.arguments.width, (bin_.rows, bin_.columns)
    lowest, first = e.constant(float("-inf")), _in_all_lanes(e, e.add(e.multiply(top, width), left))
    with e.loop(b.sub(bottom, top), [lowest, first], may_be_empty=True) as row:
        start = e.add(e.multiply(e.add(top, row.index), width), left)
        with e.loop(b.sub(right, left), row.values, may_be_empty=True) as column:
            (best, where), at = column.values, e.add(start, column.index)
            value = e.load(plane, e.multiply(at, LANES))
            larger = b.and_(b.fcmp_unordered("ugt", value, best), b.fcmp_ordered("ord", best, best))
            column.carry([b.select(larger, value, best), b.select(larger, _in_all_lanes(e, at), where)])
        row.carry(column.values)
    return row.values[0], row.values[1]


def _in_all_lanes(e: Emitter, number: Value) -> Value:
    """An integer as int32 in all lanes."""
    return e.builder.bitcast(e.splat(e.builder.bitcast(e.builder.trunc(number, LANE), FLOAT)), BITS)


@task_kernel(MaximaArguments)
def scatter(e: Emitter) -> None:
    """dx = the sum of dy over the bins whose maximum is at x; a task has blocks of its own, in all images."""
    args, b = e.arguments, e.builder
    dx, dy, positions = (pointer(e, each) for each in (args.x, args.y, args.positions))
    pixels = e.multiply(args.height, args.width)
    with e.loop(args.blocks) as part:
        block = e.add(args.block, part.index)
        with e.loop(args.images) as image, e.loop(pixels) as pixel:
            plane = e.multiply(e.add(e.multiply(image.index, args.channels), block), pixels)
            e.store(e.constant(0), dx, e.multiply(e.add(plane, pixel.index), LANES))
        with e.loop(args.regions) as region:
            for bin_ in _bins(e, region.index, block):
                with e.if_then(bin_.some):
                    plane = e.at(dx, bin_.plane)
                    where, diff = b.bitcast(e.load(positions, bin_.at), BITS), e.load(dy, bin_.at)
                    for lane in range(LANES):
                        at = b.zext(b.extract_element(where, LANE(lane)), INT)
                        place = e.at(plane, e.add(e.multiply(at, LANES), lane))
                        b.store(b.fadd(b.load(place), b.extract_element(diff, LANE(lane))), place)


def program(
    x: Bindable,
    y: Bindable,
    positions: Bindable | None,
    table: npt.NDArray[Any],
    *,
    backward: bool,
    bfloat16: bool,
    threads: int,
    scratch: Scratch,
) -> Tasks:
    """The maxima of all regions, or their gradient.

    Args:
        x: features N×C×H×W in blocks of 16 channels, or their gradient.
        y: maxima R×C×P×Q in blocks of 16 channels, or their gradient.
        positions: where the maxima are; None if nobody wants to know.
        table: see `MaximaArguments`; read when the program runs.
        backward: whether it is the gradient.
        bfloat16: whether values are bfloat16; there is no gradient of these.
        threads: how many to use.
        scratch: provider of scratch buffers.
    """
    cells, (images, channels, height, width), (regions, _, tall, wide) = Cells(), x.desc.dims, y.desc.dims
    blocks, wanted = -(-channels // LANES), TASKS_PER_THREAD * threads
    numbers = {"images": images, "channels": blocks, "height": height, "width": width, "tall": tall, "wide": wide}
    memory = {"x": Region(cells.of(x)), "y": Region(cells.of(y)), "table": int(table.ctypes.data)}
    memory["positions"] = memory["y"] if positions is None else Region(cells.of(positions))
    parts = split(regions, 1 if backward else min(regions, wanted))
    kernel = scatter() if backward else maxima(bfloat16, positions is not None)
    tasks = [
        [kernel.call(MaximaArguments(**memory, **numbers, first=first, regions=count, block=block, blocks=some))]
        for first, count in parts
        for block, some in split(blocks, min(blocks, wanted if backward else -(-wanted // regions)))
    ]
    return Tasks(min(threads, len(tasks)), cells, scratch("roi_pooling.threads", threads), [tasks])
