"""Kernels and programs of them: what they compute, and that no task is lost or run twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx_engine_onednn import OneDNN, native

REASON = OneDNN.unavailable() or native.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"{REASON}")


def floats(count: int) -> tuple[Any, np.ndarray]:
    from cafx_engine_onednn.api.memory import Memory, MemoryDesc

    memory = Memory(MemoryDesc.plain((count,)))
    return memory, memory.array.view(np.float32)


def test_each_task_runs_once_and_phases_in_order_run_after_run() -> None:
    from cafx_engine_onednn.emitter import BLOCK, Emitter
    from cafx_engine_onednn.winograd.program import Cells, Tasks

    e = Emitter("from", "to", "at")
    place = e.product(e.number("at"), BLOCK)
    more = e.builder.fadd(e.load(e.memory("from"), place), e.load(e.memory("to"), place))
    e.store(e.builder.fadd(more, e.constant(1)), e.memory("to"), place)
    kernel, cells = e.finish(), Cells()
    (first, a), (second, b), (scratch, _) = floats(640), floats(640), floats(64)
    one, two = cells.of(first), cells.of(second)
    there = [[(kernel, kernel.arguments(**{"from": one, "to": two, "at": i}))] for i in range(40)]
    back = [[(kernel, kernel.arguments(**{"from": two, "to": one, "at": 39 - i}))] for i in range(40)]
    run = Tasks(2, cells, scratch, [there, back])
    x = y = 0
    for _ in range(200):
        run()
        y = x + y + 1
        x = x + y + 1
        np.testing.assert_array_equal(a, float(x))
        np.testing.assert_array_equal(b, float(y))
        x, y = x % 4093, y % 4093
        a[...], b[...] = x, y


def test_a_program_follows_memory_that_moves() -> None:
    from cafx_engine_onednn.emitter import Emitter
    from cafx_engine_onednn.winograd.program import Cells, Tasks

    e = Emitter("to")
    e.store(e.constant(3), e.memory("to"))
    kernel, cells = e.finish(), Cells()
    (memory, before), (_, after), (scratch, _) = floats(16), floats(16), floats(64)
    run = Tasks(1, cells, scratch, [[[(kernel, kernel.arguments(to=cells.of(memory)))]]])
    run()
    memory.rebind(after)
    before[...] = 0
    run()
    assert before.sum() == 0
    np.testing.assert_array_equal(after, 3.0)


def test_sixteen_vectors_are_transposed() -> None:
    from cafx_engine_onednn.emitter import BLOCK, INT, Emitter
    from cafx_engine_onednn.winograd.program import Cells, Tasks

    e = Emitter("of")
    values = e.memory("of")
    for i, row in enumerate(e.transposed([e.load(values, INT(i * BLOCK)) for i in range(BLOCK)])):
        e.store(row, values, INT(i * BLOCK))
    kernel, cells = e.finish(), Cells()
    (memory, held), (scratch, _) = floats(BLOCK * BLOCK), floats(64)
    held[...] = np.arange(BLOCK * BLOCK)
    Tasks(1, cells, scratch, [[[(kernel, kernel.arguments(of=cells.of(memory)))]]])()
    np.testing.assert_array_equal(held.reshape(BLOCK, BLOCK), np.arange(BLOCK * BLOCK).reshape(BLOCK, BLOCK).T)


def test_a_kernel_refuses_arguments_it_does_not_have() -> None:
    from cafx_engine_onednn.winograd.gemm import sums

    with pytest.raises(TypeError, match=r"expected .*'inner'.*; received"):
        sums().arguments(left=0)


@pytest.mark.parametrize("blocks", range(1, 20))
def test_panels_cover_all_columns_once(blocks: int) -> None:
    from cafx_engine_onednn.winograd.gemm import panels

    covered = [
        first + panel * width + lane
        for first, width, count in panels(blocks)
        for panel in range(count)
        for lane in range(width)
    ]
    assert sorted(covered) == list(range(blocks))


@pytest.mark.parametrize("tiles", [(1, 5, 7), (3, 28, 28), (2, 13, 13)])
@pytest.mark.parametrize("most", [1, 30, 1000])
@pytest.mark.parametrize("even", [1, 2, 5])
def test_parts_cover_all_tiles_once(tiles: tuple[int, int, int], most: int, even: int) -> None:
    from cafx_engine_onednn.winograd.tiling import Grid

    images, height, width = tiles
    grid = Grid((images, 16, height, width), 2)
    parts = grid.parts(most, even)
    assert [first for first, _ in parts] == list(np.cumsum([0, *(count for _, count in parts)])[:-1])
    assert sum(count for _, count in parts) == grid.tiles == images * -(-height // 2) * -(-width // 2)
