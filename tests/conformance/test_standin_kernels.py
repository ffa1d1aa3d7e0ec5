"""CUDA C++ runs on the host, and wrong launches are refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.conformance.cuda import Runtime, available, installed
from cafx.conformance.cuda.errors import CompileException, CUDADriverError, CUDARuntimeError, Deadlock

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))
SHARED = Path(os.environ.get("CAFX_SHARED", Path(__file__).resolve().parents[3] / "shared"))
EXPERIMENTS = SHARED / "gpu" / "experiments" / "kernels.cu"
KERNELS = r"""
extern "C" {
__global__ void axpy(float a, const float* __restrict__ x, float* y, long long n) {
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x)
        y[i] += a * x[i];
}
__global__ void __launch_bounds__(1024) total(const float* x, float* out, int n) {
    __shared__ float parts[32];
    float s = 0;
    int self = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
    for (int i = self; i < n; i += threads) s += x[i];
    for (int o = 16; o; o /= 2) s += __shfl_xor_sync(~0u, s, o);
    if (self % 32 == 0) parts[self / 32] = s;
    __syncthreads();
    if (self < 32) {
        s = self < threads / 32 ? parts[self] : 0.f;
        for (int o = 16; o; o /= 2) s += __shfl_down_sync(~0u, s, o);
        if (self == 0) out[blockIdx.x] = s;
    }
}
__global__ void reversed(const double* x, double* y) {
    extern __shared__ double kept[];
    kept[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    y[blockIdx.x * blockDim.x + threadIdx.x] = kept[blockDim.x - 1 - threadIdx.x];
}
__global__ void unset(float* y) { extern __shared__ float kept[]; y[threadIdx.x] = kept[threadIdx.x]; }
__global__ void count(const int* x, int* bins, int* most, float* sum, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    atomicAdd(&bins[x[i]], 1); atomicMax(most, x[i]); atomicAdd(sum, 0.5f);
}
__global__ void ballots(const int* x, unsigned* y, int* any) {
    unsigned b = __ballot_sync(~0u, x[threadIdx.x] > 0);
    y[threadIdx.x] = b; any[threadIdx.x] = __syncthreads_or(x[threadIdx.x] == 7);
}
__global__ void leaves(float* x) { if (threadIdx.x < 3) return; __syncthreads(); x[0] = 1; }
__global__ void parts_of_warp(float* x) { if (threadIdx.x % 2) x[threadIdx.x] = __shfl_xor_sync(~0u, 1.f, 1); }
__global__ void maybe(float* x, const float* y) { x[0] = y ? y[0] : -1; }
__global__ void fill(float* x, int n) { for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] = 1; }
struct alignas(16) Four { float v[4]; };
__global__ void __launch_bounds__(2 * 32, 2) fours(Four* x) { x[threadIdx.x].v[0] = 5; }
__global__ void no_barrier(const float* x, float* y) {
    __shared__ float kept[64];
    kept[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = kept[threadIdx.x ^ 1];
}
__global__ void sizes(unsigned* out) {
    out[0] = gridDim.x; out[1] = gridDim.y; out[2] = gridDim.z;
    out[3] = blockDim.x; out[4] = blockDim.y; out[5] = blockDim.z;
    atomicAdd(&out[6], 1u); atomicMax(&out[7], blockIdx.z * 100 + threadIdx.z);
}
}
"""


@pytest.fixture
def kernels(cp: Any) -> Any:
    return cp.RawModule(code=KERNELS, options=("-std=c++17",))


def same(device: Any, host: Any) -> None:
    np.testing.assert_array_equal(device.get(), host, strict=True)


def test_a_grid_stride_loop_covers_every_element(cp: Any, kernels: Any, runtime: Runtime) -> None:
    count = 1_000_003
    x = cp.asarray(np.arange(count, dtype=np.float32))
    y = cp.ones(count, np.float32)
    axpy = kernels.get_function("axpy")
    axpy((50,), (128,), (np.float32(2), x, y, np.int64(count)))
    same(y, np.arange(count, dtype=np.float32) * 2 + 1)
    assert runtime.launches == 1


@pytest.mark.parametrize("block", [(32,), (64,), (128, 1, 1), (1024,), (32, 32), (16, 8), (8, 4)])
def test_block_reduction(cp: Any, kernels: Any, block: tuple[int, ...]) -> None:
    x, out = cp.asarray(np.arange(1000, dtype=np.float32)), cp.zeros(3, np.float32)
    kernels.get_function("total")((3,), block, (x, out, np.int32(1000)))
    same(out, np.full(3, 499500, np.float32))


def test_dynamic_shared_memory(cp: Any, kernels: Any) -> None:
    x = np.arange(300, dtype=np.float64)
    y = cp.zeros(300)
    kernels.get_function("reversed")((3,), (100,), (cp.asarray(x), y), shared_mem=800)
    same(y, x.reshape(3, 100)[:, ::-1].reshape(-1))
    z = cp.zeros(8, np.float32)
    kernels.get_function("unset")((1,), (8,), (z,), shared_mem=32)
    assert np.isnan(z.get()).all()


def test_atomics_and_ballots(cp: Any, kernels: Any) -> None:
    x = np.random.default_rng(0).integers(0, 7, 500, np.int32)
    bins, most, total = cp.zeros(7, np.int32), cp.zeros(1, np.int32), cp.zeros((), np.float32)
    kernels.get_function("count")((8,), (64,), (cp.asarray(x), bins, most, total, np.int32(500)))
    same(bins, np.bincount(x, minlength=7).astype(np.int32))
    assert (int(most[0]), float(total)) == (x.max(), 250)
    y, found = cp.zeros(64, np.uint32), cp.zeros(64, np.int32)
    values = np.zeros(64, np.int32)
    values[[0, 33, 35]] = 1, 7, 1
    kernels.get_function("ballots")((1,), (64,), (cp.asarray(values), y, found))
    assert y.get().tolist() == [1] * 32 + [0b1010] * 32
    assert found.get().tolist() == [1] * 64


def test_three_dimensional_launches(cp: Any, kernels: Any) -> None:
    out = cp.zeros(8, np.uint32)
    kernels.get_function("sizes")((2, 3, 4), (5, 2, 3), (out,))
    assert out.get().tolist() == [2, 3, 4, 5, 2, 3, 2 * 3 * 4 * 5 * 2 * 3, 302]


def test_threads_that_wait_for_ever(cp: Any, kernels: Any) -> None:
    x = cp.zeros(64, np.float32)
    with pytest.raises(Deadlock, match="leaves: a thread has left while others wait at __syncthreads"):
        kernels.get_function("leaves")((1,), (64,), (x,))
    with pytest.raises(Deadlock, match="a lane has left"):
        kernels.get_function("parts_of_warp")((1,), (64,), (x,))
    kernels.get_function("total")((1,), (64,), (cp.ones(100, np.float32), x, np.int32(100)))
    assert float(x[0]) == 100


def test_wrong_arguments_are_refused(cp: Any, kernels: Any) -> None:
    axpy, maybe = kernels.get_function("axpy"), kernels.get_function("maybe")
    x = cp.ones(4, np.float32)
    for wrong, complaint in (
        ((np.float32(1), x, x), "4 parameters, 3 arguments"),
        ((1.0, x, x, np.int64(4)), "parameter 0 is a floating-point number of 4 bytes, not float64"),
        ((np.int32(1), x, x, np.int64(4)), "parameter 0"),
        ((np.float32(1), x, x, np.int32(4)), "parameter 3 is an integer of 8 bytes, not int32"),
        ((np.float32(1), np.int32(0), x, np.int64(4)), "parameter 1 is a pointer"),
        ((np.float32(1), x.astype(np.float64), x, np.int64(4)), "parameter 1 points to .* not float64"),
        ((x, x, x, np.int64(4)), "parameter 0 is .* not an array"),
        ((np.float32(1), np.ones(4, np.float32), x, np.int64(4)), "host array"),
    ):
        with pytest.raises(TypeError, match=complaint):
            axpy((1,), (4,), wrong)
    maybe((1,), (1,), (x, np.intp(0)))
    assert float(x[0]) == -1
    maybe((1,), (1,), (x, x[1:]))
    assert float(x[0]) == 1
    with pytest.raises(AssertionError, match=r"maybe: .* not inside live device memory"):
        maybe((1,), (1,), (x, np.intp(64)))
    for grid, block, shared in (((0,), (1,), 0), ((1,), (2048,), 0), ((1, 70000), (1,), 0), ((1,), (1,), 1 << 17)):
        with pytest.raises(CUDADriverError, match="CUDA_ERROR_INVALID_VALUE"):
            maybe(grid, block, (x, x), shared_mem=shared)
    with pytest.raises(CUDADriverError, match="CUDA_ERROR_NOT_FOUND"):
        kernels.get_function("nothing")


def test_writing_outside_an_array_is_caught(cp: Any, kernels: Any, stream: Any) -> None:
    fill, x = kernels.get_function("fill"), cp.zeros(33, np.float32)
    fill((1,), (32,), (x, np.int32(33)))
    with pytest.raises(AssertionError, match="kernel fill wrote after the end of an array of 132 bytes"):
        fill((1,), (32,), (x, np.int32(34)))
    stream.begin_capture()
    fill((1,), (32,), (x[1:], np.int32(33)))
    graph = stream.end_capture()
    with pytest.raises(AssertionError, match="after the end"):
        graph.launch()


def test_misaligned_addresses_and_too_large_blocks_are_refused(cp: Any, kernels: Any) -> None:
    fours, x = kernels.get_function("fours"), cp.zeros(257, np.float32)
    fours((1,), (64,), (x,))
    assert float(x[252]) == 5
    with pytest.raises(AssertionError, match="parameter 0: misaligned"):
        fours((1,), (64,), (x[1:],))
    with pytest.raises(CUDADriverError, match="more than 64 threads"):
        fours((1,), (65,), (x,))


def test_a_missing_barrier_shows_in_another_order() -> None:
    results = []
    for reverse in (False, True):
        with installed(reverse=reverse):
            import cupy

            module = cupy.RawModule(code=KERNELS)
            x, y = cupy.arange(64, dtype=np.float32), cupy.zeros(64, np.float32)
            module.get_function("no_barrier")((1,), (64,), (x, y))
            module.get_function("no_barrier")((1,), (64,), (-x, y))
            out = cupy.zeros(1, np.float32)
            module.get_function("total")((1,), (64,), (x, out, np.int32(64)))
            assert float(out[0]) == 2016
            results.append(y.get())
    assert not np.array_equal(*results)


def test_kernels_are_recorded_once_warm(cp: Any, kernels: Any, stream: Any, runtime: Runtime) -> None:
    axpy = kernels.get_function("axpy")
    x, y = cp.ones(4, np.float32), cp.zeros(4, np.float32)
    stream.begin_capture()
    with pytest.raises(CUDARuntimeError, match="modules must be loaded"):
        axpy((1,), (4,), (np.float32(1), x, y, np.int64(4)))
    with pytest.raises(CUDARuntimeError, match="Invalidated"):
        stream.end_capture()
    axpy((1,), (4,), (np.float32(1), x, y, np.int64(4)))
    stream.begin_capture()
    axpy((1,), (4,), (np.float32(1), x, y, np.int64(4)))
    graph = stream.end_capture()
    same(y, np.ones(4, np.float32))
    graph.launch()
    graph.launch()
    same(y, np.full(4, 3, np.float32))
    assert runtime.launches == 3
    del x
    with pytest.raises(AssertionError, match=r"'axpy'"):
        graph.launch()


@pytest.mark.slow
def test_source_that_does_not_compile(cp: Any) -> None:
    with pytest.raises(CompileException, match=r"(?s)kernel.cu:1:.*nonsense"):
        cp.RawModule(code='extern "C" __global__ void f() { nonsense(); }').get_function("f")
    code = 'extern "C" __global__ void f(int* x) { x[0] = SIZE; }'
    x = cp.zeros(1, np.int32)
    cp.RawKernel(code, "f", ("-DSIZE=3",))((1,), (1,), (x,))
    assert int(x[0]) == 3


def test_macros_make_kernels(cp: Any) -> None:
    code = """
    #define SET(name, T) extern "C" __global__ void name##_set(T* x) { x[threadIdx.x] = VALUE; }  // void no(int)
    SET(one, int)
    #ifdef OTHER
    SET(two, no_such_type)
    #endif
    """
    module = cp.RawModule(code=code, options=("-DVALUE=4",))
    x = cp.zeros(2, np.int32)
    module.get_function("one_set")((1,), (2,), (x,))
    assert x.get().tolist() == [4, 4]
    with pytest.raises(CUDADriverError, match="NOT_FOUND"):
        module.get_function("two_set")


@pytest.fixture
def experiments(cp: Any) -> Any:
    if available() or not EXPERIMENTS.is_file():
        pytest.skip("no experiments/kernels.cu among the shared files, or no compiler")
    code = EXPERIMENTS.read_text("utf-8")
    return cp.RawModule(code=code, options=("-DVEC=4", "-DBF16=0"))


def test_experiments_sgd(cp: Any, experiments: Any) -> None:
    rng = np.random.default_rng(0)
    w, g, m = (rng.normal(size=64).astype(np.float32) for _ in range(3))
    wd, gd, md = map(cp.asarray, (w, g, m))
    args = (wd, gd, md, np.intp(0), np.int64(16), cp.full(1, 0.1, np.float32), np.float32(0.9), np.float32(0.01))
    experiments.get_function("sgd")((2,), (32,), args)
    m = 0.9 * m + 0.1 * (g + 0.01 * w)
    np.testing.assert_allclose(md.get(), m, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(wd.get(), w - m, rtol=1e-5, atol=1e-6)


def test_experiments_softmax_loss(cp: Any, experiments: Any) -> None:
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(5, 100)).astype(np.float32), rng.integers(0, 100, 5).astype(np.float32)
    loss, dx = cp.zeros(5, np.float32), cp.zeros((5, 100), np.float32)
    args = (cp.asarray(x), cp.asarray(label), loss, dx, np.int32(100), np.float32(0.5))
    experiments.get_function("softmax_loss")((5,), (128,), args)
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    rows, columns = np.arange(5), label.astype(int)
    np.testing.assert_allclose(loss.get(), -np.log(p[rows, columns]), rtol=1e-5)
    p[rows, columns] -= 1
    np.testing.assert_allclose(dx.get(), p * 0.5, atol=1e-6)


def test_experiments_sums(cp: Any, experiments: Any) -> None:
    rng = np.random.default_rng(0)
    dy, y = rng.normal(size=(2, 37, 24)).astype(np.float32)
    device, partial, out = cp.asarray(dy), cp.empty((3, 24), np.float32), cp.zeros(24, np.float32)
    args = (device, cp.asarray(y), partial, np.int64(37), np.int32(6), np.int32(1), np.float32(2))
    experiments.get_function("mask_sum")((1, 3), (8, 4), args, shared_mem=8 * 4 * 4 * 4)
    masked = np.where(y > 0, dy * 2, np.float32(0))
    np.testing.assert_array_equal(device.get(), masked)
    experiments.get_function("fold")((1,), (32, 32), (partial, out, np.int32(3), np.int32(24)))
    np.testing.assert_allclose(out.get(), masked.sum(axis=0), rtol=1e-4, atol=1e-5)


def test_experiments_batch_norm(cp: Any, experiments: Any) -> None:
    x = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    partial, nothing = cp.zeros((2, 2, 8), np.float32), np.intp(0)
    args = (cp.asarray(x), nothing, nothing, nothing, nothing, nothing, partial, np.int64(50), np.int32(2), np.int32(0))
    experiments.get_function("bn_sums")((1, 2), (2, 16), args, shared_mem=2 * 16 * 4 * 2 * 4)
    sums = partial.get().sum(axis=0)
    np.testing.assert_allclose(sums, [x.sum(axis=0), (x * x).sum(axis=0)], rtol=1e-4, atol=1e-4)
    mean, inverse = cp.zeros(8, np.float32), cp.zeros(8, np.float32)
    args = (partial, mean, inverse, np.int32(2), np.int32(8), np.float32(50), np.float32(1e-5), np.int32(0))
    experiments.get_function("bn_finish")((1,), (32, 32), args)
    np.testing.assert_allclose(mean.get(), x.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(inverse.get(), 1 / np.sqrt(x.var(axis=0) + 1e-5), rtol=1e-4)
