"""The stand-in CUDA records work as CUDA does, and refuses what CUDA cannot record."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest

from cafx.conformance.cuda import Runtime
from cafx.conformance.cuda.errors import CUDARuntimeError


def same(device: Any, host: Any) -> None:
    np.testing.assert_array_equal(device.get(), np.asarray(host), strict=True)


def test_in_place_work_counts_once_per_launch(cp: Any, stream: Any, runtime: Runtime) -> None:
    x, total = cp.zeros(3, np.float32), cp.zeros((), np.float32)
    stream.begin_capture()
    assert stream.is_capturing()
    x += 1
    x[1] = x[0]
    x[1] *= 10
    cp.clip(x, 0, 1000, x)
    x.sum(0, None, total)
    graph = stream.end_capture()
    same(x, np.zeros(3, np.float32))
    same(total, np.float32(0))
    graph.upload()
    for launch in (1, 2, 3):
        graph.launch(stream)
        same(x, np.float32([launch, 10 * launch, launch]))
        same(total, np.float32(12 * launch))
    assert runtime.graph_launches == 3


def test_temporaries_are_computed_from_new_inputs(cp: Any, stream: Any) -> None:
    x, y = cp.zeros((2, 3), np.float32), cp.zeros(3, np.float32)
    pool = cp.cuda.MemoryPool()
    with cp.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        shifted = (x - x.max(axis=1, keepdims=True)).T.reshape(3, 2)
        picked = cp.where(shifted > -2, shifted, cp.full((), -9, np.float32))
        y[...] = cp.concatenate([picked, shifted], axis=1).sum(axis=1)
        graph = stream.end_capture()
        del shifted, picked
    for seed in range(3):
        values = np.random.default_rng(seed).normal(size=(2, 3)).astype(np.float32) * 3
        x.set(values)
        graph.launch()
        shifted = (values - values.max(axis=1, keepdims=True)).T.reshape(3, 2)
        same(y, np.concatenate([np.where(shifted > -2, shifted, np.float32(-9)), shifted], axis=1).sum(axis=1))
    assert pool.total_bytes() > pool.used_bytes() == 0


def test_freed_memory_is_caught(cp: Any, stream: Any) -> None:
    x, y = cp.zeros(3, np.float32), cp.zeros(3, np.float32)
    stream.begin_capture()
    y += x * 2
    graph = stream.end_capture()
    with pytest.raises(AssertionError, match=r"captured memory was freed: .*'multiply'"):
        graph.launch()
    pool = cp.cuda.MemoryPool()
    with cp.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        y += x * 2
        graph = stream.end_capture()
    graph.launch()
    pool.free_all_blocks()
    with pytest.raises(AssertionError, match="freed"):
        graph.launch()
    pool = cp.cuda.MemoryPool()
    with cp.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        y += x * 2
        graph = stream.end_capture()
    graph.launch()
    del pool
    with pytest.raises(AssertionError, match="freed"):
        graph.launch()


@pytest.mark.slow
def test_a_graph_keeps_no_array_alive(cp: Any, stream: Any) -> None:
    x = cp.zeros(3, np.float32)
    stream.begin_capture()
    x += 1
    graph = stream.end_capture()
    graph.launch()
    del x
    gc.collect()
    with pytest.raises(AssertionError, match="freed"):
        graph.launch()


READS = [
    "float(x[0])", "int(x[0])", "bool(x[0])", "x[0].item()", "x.get()", "x.set(np.zeros(3, np.float32))", "x.tolist()",
    "cp.asarray([1.0])", "cp.asnumpy(x)", "x[x > 0]", "cp.nonzero(x)", "stream.synchronize()", "x[[0, 1]]",
    "cp.cuda.Device().synchronize()", "cp.cuda.runtime.memcpy(x.data.ptr, y.ctypes.data, 12, 1)", "stream.done",
    "cp.cuda.runtime.memcpy(x.data.ptr, pinned.ptr, 12, 1)",
    "cp.cuda.runtime.memcpyAsync(x.data.ptr, y.ctypes.data, 12, 1, stream.ptr)", "cp.unique(x)",
]  # fmt: skip


@pytest.mark.parametrize("read", READS)
def test_waiting_for_the_device_ends_a_capture(cp: Any, stream: Any, read: str) -> None:
    x, y, pinned = cp.zeros(3, np.float32), np.zeros(3, np.float32), cp.cuda.alloc_pinned_memory(12)
    stream.begin_capture()
    x += 1
    with pytest.raises(CUDARuntimeError, match="cudaErrorStreamCaptureUnsupported"):
        eval(read, {"x": x, "cp": cp, "np": np, "stream": stream, "y": y, "pinned": pinned})
    with pytest.raises(CUDARuntimeError, match="cudaErrorStreamCaptureInvalidated"):
        x += 1
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorStreamCaptureInvalidated"):
        stream.end_capture()
    x += 1
    assert float(x[0]) == 1
    stream.begin_capture()
    stream.end_capture().launch()


def test_matrix_products_refuse_capture(cp: Any, stream: Any) -> None:
    x = cp.ones((3, 3), np.float32)
    stream.begin_capture()
    for refused in (lambda: x @ x, lambda: cp.matmul(x, x), lambda: cp.dot(x, x), lambda: x.dot(x)):
        with pytest.raises(NotImplementedError):
            refused()
    x *= 2
    stream.end_capture().launch()
    assert float(x[0, 0]) == 2


def test_mistakes_show_while_capturing(cp: Any, stream: Any) -> None:
    x = cp.ones(3, np.float32)
    stream.begin_capture()
    with pytest.raises(ValueError, match="broadcast"):
        x += cp.ones(2, np.float32)
    with pytest.raises(TypeError):
        x += np.ones(3, np.float32)
    x += 1
    assert len(stream.end_capture().nodes) == 2


def test_indices_without_meaning_yet_do_not_stop_a_capture(cp: Any, stream: Any) -> None:
    table, where, out = cp.arange(5, dtype=np.float32), cp.zeros(2, np.int64), cp.zeros(2, np.float32)
    where.fill(99)
    pool = cp.cuda.MemoryPool()
    with cp.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        out += table[where]
        out[where - 2] += 1
        graph = stream.end_capture()
    with pytest.raises(IndexError):
        graph.launch()
    where.set(np.array([2, 3]))
    out.fill(0)
    graph.launch()
    same(out, np.float32([3, 4]))


def test_the_null_stream_does_not_capture(cp: Any) -> None:
    with pytest.raises(CUDARuntimeError, match="cudaErrorStreamCaptureUnsupported"):
        cp.cuda.Stream.null.begin_capture()


def test_work_outside_a_capture_is_counted(cp: Any, stream: Any, runtime: Runtime) -> None:
    x = cp.zeros(3, np.float32)
    stream.begin_capture()
    x += 1
    assert runtime.outside_capture == 0
    with cp.cuda.Stream(non_blocking=True):
        x += 1
    assert runtime.outside_capture == 1
    same(x, np.ones(3, np.float32))
    x += 1
    assert runtime.outside_capture == 2
    assert cp.cuda.get_current_stream() == cp.cuda.Stream.null

    def elsewhere() -> None:
        with cp.cuda.Stream(non_blocking=True):
            x.fill(7)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert runtime.outside_capture == 2
    stream.use()
    assert len(stream.end_capture().nodes) == 1
    assert not runtime.capturing


def test_events_let_a_second_stream_join(cp: Any, stream: Any) -> None:
    x, second = cp.zeros(3, np.float32), cp.cuda.Stream(non_blocking=True)

    def run(join: bool) -> Any:
        stream.use()
        stream.begin_capture()
        second.wait_event(stream.record())
        second.use()
        x.fill(4)
        if join:
            stream.wait_event(second.record())
        return stream.end_capture()

    run(join=True).launch()
    same(x, np.full(3, 4, np.float32))
    with pytest.raises(CUDARuntimeError, match="Unjoined"):
        run(join=False)
    start, end = cp.cuda.Event(), cp.cuda.Event()
    start.record()
    end.record(stream)
    end.synchronize()
    assert end.done
    assert cp.cuda.get_elapsed_time(start, end) >= 0
