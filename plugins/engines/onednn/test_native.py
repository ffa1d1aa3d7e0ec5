"""Programs of JIT-compiled kernels: every task runs once, in the order of the phases, on memory that may move."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

from cafx.kernel.blob import SyncedArray
from cafx_engine_onednn import OneDNN, native
from cafx_engine_onednn.api.memory import Memory, MemoryDesc
from cafx_engine_onednn.operands import Operand
from cafx_lib_llvm import Arguments

program = pytest.importorskip("cafx_engine_onednn.winograd.program", exc_type=ImportError)
gemm = pytest.importorskip("cafx_engine_onednn.winograd.gemm", exc_type=ImportError)
tiling = pytest.importorskip("cafx_engine_onednn.winograd.tiling", exc_type=ImportError)

REASON = OneDNN.unavailable() or native.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"{REASON}")
VECTOR = 16


def floats(count: int) -> tuple[Memory, np.ndarray]:
    memory = Memory(MemoryDesc.plain((count,)))
    return memory, memory.array.view(np.float32)


@attrs.frozen(kw_only=True)
class IncrementArguments(Arguments):
    """Arguments of `increment`."""

    source: program.Region
    target: program.Region
    vector: int
    amount: float


@program.task_kernel(IncrementArguments)
def increment(e: Any) -> None:
    """Add a vector of the source and an amount to a vector of the target."""
    source, target = program.pointer(e, e.arguments.source), program.pointer(e, e.arguments.target)
    start = e.multiply(e.arguments.vector, VECTOR)
    total = e.builder.fadd(e.load(source, start), e.load(target, start))
    e.store(e.builder.fadd(total, e.splat(e.arguments.amount)), target, start)


def task(source: program.Region, target: program.Region, vector: int, amount: float = 1) -> Any:
    arguments = IncrementArguments(source=source, target=target, vector=vector, amount=amount)
    return [increment().call(arguments)]


@pytest.mark.slow
def test_each_task_runs_once_and_phases_run_in_order() -> None:
    cells = program.Cells()
    (first, a), (second, b), (scratch, _) = floats(640), floats(640), floats(64)
    one, two = program.Region(cells.of(first)), program.Region(cells.of(second))
    phases = [[task(one, two, i) for i in range(40)], [task(two, one, 39 - i) for i in range(40)]]
    run = program.Tasks(2, cells, scratch, phases)
    x = y = 0
    for _ in range(200):
        run()
        y = x + y + 1
        x = x + y + 1
        np.testing.assert_array_equal(a, float(x))
        np.testing.assert_array_equal(b, float(y))
        x, y = x % 4093, y % 4093
        a[...], b[...] = x, y


def test_a_program_follows_rebound_memory() -> None:
    cells = program.Cells()
    (memory, before), (_, after), (scratch, _) = floats(VECTOR), floats(VECTOR), floats(64)
    region = program.Region(cells.of(memory))
    run = program.Tasks(1, cells, scratch, [[task(region, region, 0, amount=3)]])
    run()
    memory.rebind(after)
    before[...] = 0
    run()
    assert before.sum() == 0
    np.testing.assert_array_equal(after, 3.0)


def test_operands_are_bound_when_the_program_first_runs() -> None:
    cells, (scratch, _) = program.Cells(), floats(64)
    operand = Operand(SyncedArray(VECTOR, np.float32), MemoryDesc.plain((VECTOR,)))
    region = program.Region(cells.of(operand))
    run = program.Tasks(1, cells, scratch, [[task(region, region, 0)]])
    assert operand.memory is None
    run()
    np.testing.assert_array_equal(operand.memory.array, np.float32(1))


@pytest.mark.parametrize("blocks", range(1, 20))
def test_panels_cover_every_column_once(blocks: int) -> None:
    covered = [
        first + panel * width + lane
        for first, width, count in gemm.panels(blocks)
        for panel in range(count)
        for lane in range(width)
    ]
    assert sorted(covered) == list(range(blocks))


@pytest.mark.parametrize("tiles", [(1, 5, 7), (3, 28, 28), (2, 13, 13)])
@pytest.mark.parametrize("largest", [1, 30, 1000])
@pytest.mark.parametrize("multiple_of", [1, 2, 5])
def test_chunks_cover_every_tile_once(tiles: tuple[int, int, int], largest: int, multiple_of: int) -> None:
    images, height, width = tiles
    grid = tiling.TileGrid((images, 16, height, width), 2)
    chunks = grid.chunks(largest, multiple_of)
    assert [first for first, _ in chunks] == list(np.cumsum([0, *(count for _, count in chunks)])[:-1])
    assert sum(count for _, count in chunks) == grid.tiles == images * -(-height // 2) * -(-width // 2)


@pytest.mark.parametrize("count", [1, 7, 12, 100])
@pytest.mark.parametrize("parts", [1, 3, 16])
def test_a_split_covers_a_range_once(count: int, parts: int) -> None:
    ranges = list(tiling.split(count, parts))
    assert [index for first, some in ranges for index in range(first, first + some)] == list(range(count))
    assert len(ranges) <= parts
