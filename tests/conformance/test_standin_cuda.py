"""The stand-in CUDA computes what NumPy computes, and refuses what CUDA refuses."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from cafx.conformance.cuda import Runtime, installed
from cafx.conformance.cuda.errors import CUDARuntimeError, OutOfMemoryError


def same(device: Any, host: Any) -> None:
    np.testing.assert_array_equal(device.get(), np.asarray(host), strict=True)


def test_is_installed_and_taken_out_again() -> None:
    before = sys.modules.get("cupy")
    with installed():
        import cupy
        from cupy.cuda import runtime as cudart

        assert cudart.getDeviceCount() == 1
        assert cupy.cuda.runtime is cudart
        assert find_spec("cupy") is not None
    assert sys.modules.get("cupy") is before
    with installed(devices=0) as empty:
        import cupy as another

        assert another is not cupy
        assert not another.cuda.is_available()
        assert empty.devices == 0


EXPRESSIONS = [
    "a + b", "a * 2 - b / 3", "2 ** a", "-a", "abs(a)", "a // b", "a % b", "a > b", "(a > 1) & (b < 2)", "~(a > 1)",
    "a @ b.T", "1 / b", "a[1]", "a[:, ::-1]", "a[..., 1:3]", "a[[0, 2]]", "a[None]", "a[a > 1]", "a.T.reshape(-1)",
    "a.sum()", "a.sum(axis=1, keepdims=True)", "a.mean(0)", "a.max(axis=1)", "a.argmax(1)", "a.std()", "a.clip(1, 2)",
    "a.astype(int)", "a.astype('f4', copy=False)", "a.view('u4')", "a.copy()", "a.ravel()", "a.transpose(1, 0)",
    "xp.exp(a)", "xp.maximum(a, b)", "xp.maximum(a, 1)", "xp.where(a > 1, a, b)", "xp.concatenate([a, b], axis=1)",
    "xp.stack((a, b))", "xp.zeros((2, 3), 'f4')", "xp.full((2,), 7, 'i4')", "xp.arange(5)", "xp.ones_like(a)",
    "xp.pad(a, ((1, 1), (0, 2)))", "xp.einsum('ij,kj->ik', a, b)", "xp.tensordot(a, b, ((1,), (1,)))",
    "xp.take_along_axis(a, a.argmax(1)[:, None], 1)", "xp.add.reduce(a, axis=0)", "xp.broadcast_to(a[0], (2, 4))",
    "xp.linalg.norm(a)", "xp.sort(-a, axis=0)", "xp.round(a, 1)", "xp.unique(a)",
    "xp.matmul(a, b.T)", "xp.sqrt(a.astype('f8'))", "xp.allclose(a, a)",
    "xp.lib.stride_tricks.sliding_window_view(a, (2, 2))", "a.dot(b.T)", "a.squeeze()", "xp.moveaxis(a[None], 0, 2)",
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_computes_what_numpy_computes(cp: Any, expression: str) -> None:
    a = np.arange(12, dtype=np.float32).reshape(3, 4) / 4
    b = (np.float32(3) - a) * a + 1
    host = eval(expression, {"xp": np, "a": a, "b": b})
    same(eval(expression, {"xp": cp, "a": cp.asarray(a), "b": cp.asarray(b)}), host)


STATEMENTS = [
    "a += b", "a *= 2", "a[1] = 5", "a[:, 1:] += 1", "a[a > 1] = 0", "a[[0, 2], 1] = 9", "a.fill(3)", "a[...] = b[0]",
    "xp.add(a, b, out=a)", "xp.copyto(a, b)", "xp.add.at(a, ([0, 0], [1, 1]), 1)", "xp.exp(b, out=a)", "a.T[...] = b.T",
    "xp.matmul(b, b[0, :4, None] + b[1], out=a)", "xp.sum(b, axis=0, out=a[0])", "a.sort(axis=1)", "a[1] = b[1, 0]",
    "a[:2] -= a[1:]", "xp.add(a, 1, a)", "a.reshape(-1)[3] = 8",
    "xp.clip(b, 1, 2, a)", "b.max(1, a[:, 0])",
]  # fmt: skip


@pytest.mark.parametrize("statement", STATEMENTS)
def test_changes_arrays_as_numpy_does(cp: Any, statement: str) -> None:
    a = np.arange(12, dtype=np.float32).reshape(3, 4) / 4
    b = (np.float32(3) - a) * a + 1
    device = cp.asarray(a)
    exec(statement, {"xp": cp, "a": device, "b": cp.asarray(b)})
    exec(statement, {"xp": np, "a": a, "b": b})
    same(device, a)


def test_host_and_device_do_not_mix(cp: Any) -> None:
    host, device = np.ones(3, np.float32), cp.ones(3, np.float32)
    for mixed in (
        lambda: device + host,
        lambda: host + device,
        lambda: np.asarray(device),
        lambda: device.__setitem__(0, host),
        lambda: cp.add(device, [1, 2, 3]),
        lambda: cp.concatenate([device, host]),
        lambda: np.add(host, device, out=host),
    ):
        with pytest.raises(TypeError):
            mixed()
    same(np.float32(2) * device, 2 * host)
    same(np.add(device, device), 2 * host)
    same(np.concatenate([device, device]), np.concatenate([host, host]))


def test_names_cupy_lacks_are_missing(cp: Any) -> None:
    for name in ("random", "insert", "errstate", "no_such_function"):
        assert not hasattr(cp, name)
    with pytest.raises(TypeError, match="where"):
        cp.sum(cp.ones(3), where=cp.ones(3, bool))


def test_reads_are_counted(cp: Any, runtime: Runtime) -> None:
    a = cp.asarray(np.ones(3, np.float32))
    assert (runtime.host_reads, runtime.copies_to_device) == (0, 1)
    assert float(a.sum()) == 3.0
    assert int(a[0]) == a[1].item() == 1
    assert bool(a[0])
    assert a.tolist() == [1, 1, 1]
    a[a > 5]
    assert runtime.host_reads == 6
    a.get()
    assert cp.asnumpy(a).sum() == 3
    assert (runtime.host_reads, runtime.copies_to_host) == (8, 2)
    assert a.sum().ndim == 0
    assert cp.get_array_module(a) is cp
    assert cp.get_array_module(np.ones(1)) is np


def test_set_and_get_demand_the_same_shape_and_type(cp: Any) -> None:
    a = cp.zeros((2, 3), np.float32)
    a.set(np.ones((2, 3), np.float32))
    out = np.zeros((2, 3), np.float32)
    assert a.get(out=out) is out
    assert out.sum() == 6
    with pytest.raises(TypeError, match="float64"):
        a.set(np.ones((2, 3)))
    with pytest.raises(ValueError, match="Shape"):
        a.set(np.ones((3, 2), np.float32))
    with pytest.raises(RuntimeError, match="contiguous"):
        a.T.set(np.ones((3, 2), np.float32))
    with pytest.raises(TypeError, match="float64"):
        a.get(out=np.zeros((2, 3)))


def test_addresses_follow_slices(cp: Any) -> None:
    a = cp.zeros((4, 5), np.float32)
    assert a[2, 3:].data.ptr - a.data.ptr == 4 * 13
    assert a.T.data.ptr == a.data.ptr
    assert cp.may_share_memory(a, a[1:])
    assert not cp.may_share_memory(a, a.copy())
    same(cp.ndarray((2, 5), np.float32, a.data + 40), np.zeros((2, 5), np.float32))
    with pytest.raises(AssertionError, match="not inside its memory"):
        cp.ndarray((2, 5), np.float32, a.data + 44)
    assert np.isnan(cp.empty(3, np.float32).get()).all()


def test_freed_memory_holds_no_values(cp: Any) -> None:
    values = cp.ones(3, np.float32) + cp.ones(3, np.float32)
    left = values._array
    del values
    assert np.isnan(left).all()


def test_the_card_can_be_full() -> None:
    with installed(memory=1 << 20) as runtime:
        import cupy as cp

        a = cp.zeros(200_000, np.float32)
        with pytest.raises(OutOfMemoryError):
            cp.empty(200_000, np.float32)
        with pytest.raises(cp.cuda.memory.OutOfMemoryError):
            cp.zeros(1 << 60, np.float32)
        assert cp.cuda.Device().mem_info[1] == 1 << 20
        del a
        cp.empty(200_000, np.float32)
        assert runtime.registry.used == 0


def test_a_pool_gives_its_memory_again(cp: Any) -> None:
    pool = cp.cuda.MemoryPool()
    with cp.cuda.using_allocator(pool.malloc):
        a = cp.ones(100, np.float32)
        address = a.data.ptr
        assert pool.used_bytes() == 512
        del a
        assert (pool.used_bytes(), pool.free_bytes()) == (0, 512)
        b = cp.zeros(100, np.float32) + 1
        assert b.data.ptr != address or cp.ones(100, np.float32).data.ptr != address
    elsewhere = cp.ones(100, np.float32)
    assert pool.total_bytes() == 1024
    assert elsewhere.data.ptr != address


def test_copies_by_address(cp: Any, stream: Any, runtime: Runtime) -> None:
    cudart = cp.cuda.runtime
    memory = cp.cuda.alloc_pinned_memory(16)
    pinned = np.frombuffer(memory, np.float32, 4)
    assert memory.ptr == pinned.ctypes.data
    x, y = cp.zeros(4, np.float32), cp.ones(4, np.float32)
    stream.begin_capture()
    cudart.memcpyAsync(x.data.ptr, memory.ptr, 16, cudart.memcpyHostToDevice, stream.ptr)
    cudart.memcpyAsync(y.data.ptr, x.data.ptr, 8, cudart.memcpyDeviceToDevice, stream.ptr)
    cudart.memsetAsync(y.data.ptr + 12, 0, 4, stream.ptr)
    graph = stream.end_capture()
    pinned[:] = 5
    graph.launch()
    same(y, np.float32([5, 5, 1, 0]))
    cudart.memcpy(memory.ptr, y.data.ptr, 16, cudart.memcpyDeviceToHost)
    assert pinned.tolist() == [5, 5, 1, 0]
    assert (runtime.copies_to_device, runtime.copies_to_host) == (1, 2)
    del memory, pinned
    with pytest.raises(AssertionError, match="pinned memory"):
        graph.launch()
    with pytest.raises(AssertionError, match="not inside live device memory"):
        cudart.memcpyAsync(x.data.ptr, y.data.ptr + 4, 16, cudart.memcpyDeviceToDevice, stream.ptr)
    address = x.data.ptr
    del x
    with pytest.raises(AssertionError, match="live"):
        cudart.memsetAsync(address, 0, 4, stream.ptr)
    with pytest.raises(CUDARuntimeError, match="no stream"):
        cudart.memsetAsync(y.data.ptr, 0, 4, 12345)


def test_the_device_tells_what_it_is(cp: Any) -> None:
    device = cp.cuda.Device()
    assert (device.id, device.compute_capability, device.attributes["MultiProcessorCount"]) == (0, "90", 2)
    free, total = device.mem_info
    assert 0 < free <= total == 2 << 30
    properties = cp.cuda.runtime.getDeviceProperties(0)
    assert isinstance(properties["name"], bytes)
    assert (properties["major"], properties["totalGlobalMem"]) == (9, total)
    with pytest.raises(CUDARuntimeError, match="cudaErrorInvalidDevice"):
        cp.cuda.Device(1).use()


def test_submit_records_or_runs(runtime: Runtime, cp: Any, stream: Any) -> None:
    x = cp.zeros((2, 6), np.float32)
    view = runtime.floats(x.data.ptr + 4, (2, 2), (6, 2), np.float32)

    def work() -> None:
        view[...] += 1

    runtime.submit(work, [(x.data.ptr, x.nbytes)], "work")
    assert x.get().tolist() == [[0, 1, 0, 1, 0, 0]] * 2
    stream.begin_capture()
    runtime.submit(work, [(x.data.ptr, x.nbytes)], "work")
    graph = stream.end_capture()
    graph.launch()
    assert x.get()[0, 1] == 2
    with pytest.raises(AssertionError, match="work: 49 bytes"):
        runtime.submit(work, [(x.data.ptr, x.nbytes + 1)], "work")
