"""The stand-in for cuBLAS computes what NumPy computes, and refuses what the library refuses."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.conformance.cuda import Runtime, installed
from cafx.conformance.cuda.cublas import Library
from cafx.conformance.cuda.library_memory import distinct, from_bfloat16, to_bfloat16

TOLERANCE = 1e-5
BFLOAT16_TOLERANCE = 2.0**-7
EXAMPLES = 200
WORKSPACE = 1 << 17
F32, F64, BF16 = 0, 1, 14
COMPUTE = {(F32, F32): (68, 77), (F64, F64): (70,), (BF16, F32): (68,), (BF16, BF16): (68,)}
STORED: dict[int, Any] = {F32: np.float32, F64: np.float64, BF16: np.uint16}


class Bench:
    """A device with a stream of its own, a handle, and workspace to give to it."""

    def __init__(self, runtime: Runtime) -> None:
        import cupy  # type: ignore[import-not-found, unused-ignore]

        self.cupy: Any = cupy
        self.runtime = runtime
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.stream.use()
        self.workspace = cupy.zeros(WORKSPACE, np.uint8)
        self.blas: Any = Library(runtime)
        self.blas_handle = ctypes.c_void_p()
        assert self.blas.cublasCreate_v2(ctypes.byref(self.blas_handle)) == 0
        assert self.set_stream() == 0
        self.random = np.random.default_rng(7)

    def set_stream(self) -> int:
        """Set cuBLAS's stream; the status."""
        return int(self.blas.cublasSetStream_v2(self.blas_handle, ctypes.c_void_p(self.stream.ptr)))

    def give_workspace(self) -> int:
        """Give cuBLAS its workspace; the status."""
        size, address = ctypes.c_size_t(WORKSPACE), ctypes.c_void_p(self.workspace.data.ptr)
        return int(self.blas.cublasSetWorkspace_v2(self.blas_handle, address, size))


@contextmanager
def bench() -> Iterator[Bench]:
    """A fresh device."""
    with installed() as runtime:
        yield Bench(runtime)


@pytest.fixture(name="device")
def fresh_device() -> Iterator[Bench]:
    with bench() as made:
        yield made


@attrs.frozen
class Gemm:
    """A product to try: C (m × n) = alpha op(A) op(B) + beta C, ``spare`` numbers between columns and matrices."""

    m: int = 3
    n: int = 4
    k: int = 2
    transa: int = 0
    transb: int = 0
    batch: int = 1
    alpha: float = 1.0
    beta: float = 0.0
    kinds: tuple[int, int] = (F32, F32)
    compute: int = 68
    spare: tuple[int, int, int] = (0, 0, 0)

    def stored(self) -> list[tuple[int, int, int, int]]:
        """Rows, columns, leading dimension and batch stride of A, B and C as they are stored."""
        sizes = [
            (self.k, self.m) if self.transa else (self.m, self.k),
            (self.n, self.k) if self.transb else (self.k, self.n),
            (self.m, self.n),
        ]
        return [(r, c, max(1, r + more), (r + more) * c + more) for (r, c), more in zip(sizes, self.spare, strict=True)]

    def expected(self, a: Any, b: Any, c: Any) -> Any:
        """The flat C after the product of flat float64 operands, number by number."""
        (_, _, lda, sa), (_, _, ldb, sb), (_, _, ldc, sc) = self.stored()
        result = c.copy()
        for item, row, column in np.ndindex(self.batch, self.m, self.n):
            total = 0.0
            for inner in range(self.k):
                left = item * sa + (row * lda + inner if self.transa else inner * lda + row)
                right = item * sb + (inner * ldb + column if self.transb else column * ldb + inner)
                total += a[left] * b[right]
            at = item * sc + column * ldc + row
            result[at] = self.alpha * total + (self.beta * c[at] if self.beta else 0.0)
        return result


def call(
    device: Bench, gemm: Gemm, a: Any, b: Any, c: Any, leading: tuple[int, int, int] | None = None, step: int = 0
) -> int:
    """Call cublasGemmStridedBatchedEx; the status. ``step`` is added to C's batch stride."""
    scalar = ctypes.c_double if gemm.compute == 70 else ctypes.c_float
    (_, _, lda, sa), (_, _, ldb, sb), (_, _, ldc, sc) = gemm.stored()
    lda, ldb, ldc = leading or (lda, ldb, ldc)
    pointer, wide = ctypes.c_void_p, ctypes.c_longlong
    inputs, output = gemm.kinds
    status: int = device.blas.cublasGemmStridedBatchedEx(
        *(device.blas_handle, gemm.transa, ctypes.c_int(gemm.transb), gemm.m, gemm.n, gemm.k),
        *(ctypes.byref(scalar(gemm.alpha)), pointer(a.data.ptr), inputs, lda, wide(sa)),
        *(pointer(b.data.ptr), inputs, ldb, wide(sb)),
        *(ctypes.pointer(scalar(gemm.beta)), pointer(c.data.ptr), output, ldc, wide(sc + step)),
        *(gemm.batch, gemm.compute, -1),
    )
    return status


def operands(device: Bench, gemm: Gemm) -> list[Any]:
    """Flat A, B and C on the device; C is NaN where it must not be read."""
    made = []
    for (_, _, _, stride), kind in zip(gemm.stored(), (gemm.kinds[0], *gemm.kinds), strict=True):
        values = device.random.standard_normal(stride * gemm.batch)
        made.append(to_bfloat16(values) if kind == BF16 else values.astype(STORED[kind]))
    if not gemm.beta:
        made[2] = to_bfloat16(np.full(made[2].size, np.nan)) if gemm.kinds[1] == BF16 else made[2] * np.nan
    return [device.cupy.asarray(values) for values in made]


def host(array: Any) -> Any:
    """An array's values as float64."""
    found = array.get()
    return (from_bfloat16(found) if found.dtype == np.uint16 else found).astype(np.float64)


@st.composite
def gemms(draw: st.DrawFn) -> Gemm:
    """Products of all kinds."""
    sizes, flag, more = st.integers(1, 5), st.integers(0, 1), st.integers(0, 3)
    kinds = draw(st.sampled_from(sorted(COMPUTE)))
    return Gemm(
        *(draw(sizes), draw(sizes), draw(st.integers(0, 5)), draw(flag), draw(flag), draw(st.integers(1, 3))),
        *(draw(st.sampled_from([1.0, -0.5])), draw(st.sampled_from([0.0, 1.0, 2.5])), kinds),
        compute=draw(st.sampled_from(COMPUTE[kinds])),
        spare=(draw(more), draw(more), draw(more)),
    )


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(gemms())
def test_a_product_equals_the_sum_of_products(gemm: Gemm) -> None:
    with bench() as device:
        a, b, c = operands(device, gemm)
        expected = gemm.expected(host(a), host(b), host(c))
        assert call(device, gemm, a, b, c) == 0
        tolerance = BFLOAT16_TOLERANCE if gemm.kinds[1] == BF16 else TOLERANCE
        np.testing.assert_allclose(host(c), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("gemm", "leading", "status"),
    [
        (Gemm(), (2, 2, 3), 7),
        (Gemm(), (3, 1, 3), 7),
        (Gemm(), (3, 2, 2), 7),
        (Gemm(transa=1), (1, 2, 3), 7),
        (Gemm(transa=5), None, 7),
        (Gemm(compute=70), None, 15),
        (Gemm(kinds=(F64, F64)), None, 15),
        (Gemm(kinds=(BF16, F32), compute=77), None, 15),
    ],
)
def test_arguments_that_cublas_refuses_have_its_status(device: Bench, gemm: Gemm, leading: Any, status: int) -> None:
    a, b, c = operands(device, gemm)
    assert call(device, gemm, a, b, c, leading) == status


def test_a_plain_int_is_no_address_as_ctypes_passes_it(device: Bench) -> None:
    for name in ("cublasSetStream_v2", "cublasDestroy_v2"):
        with pytest.raises(AssertionError, match="32 bits"):
            getattr(device.blas, name)(*[1 << 40] * (2 if "Stream" in name else 1))
    with pytest.raises(AssertionError, match="32 bits"):
        device.blas.cublasSetWorkspace_v2(device.blas_handle, ctypes.c_void_p(0), 1 << 40)
    device.blas.cublasSetStream_v2.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    assert device.blas.cublasSetStream_v2(device.blas_handle.value, 1 << 40) == 0


def test_a_scalar_of_the_wrong_type_is_found(device: Bench) -> None:
    a, b, c = operands(device, Gemm())
    one, pointer = ctypes.byref(ctypes.c_double(1)), ctypes.c_void_p
    matrices = [(pointer(x.data.ptr), F32, lead) for x, lead in ((a, 3), (b, 2), (c, 3))]
    arguments = [device.blas_handle, 0, 0, 3, 4, 2, one, *matrices[0], *matrices[1], one, *matrices[2], 68, -1]
    with pytest.raises(AssertionError, match="c_double, read as c_float"):
        device.blas.cublasGemmEx(*arguments)
    arguments[6] = arguments[13] = ctypes.byref(ctypes.c_float(1))
    c[...] = 0
    assert device.blas.cublasGemmEx(*arguments) == 0
    np.testing.assert_allclose(host(c), Gemm().expected(host(a), host(b), host(c) * 0), rtol=TOLERANCE)


def test_cublas_s_misuses_that_hardware_would_not_report_are_found(device: Bench) -> None:
    gemm = Gemm(batch=2)
    a, b, c = operands(device, gemm)
    with pytest.raises(AssertionError, match="overlaps"):
        call(device, Gemm(m=2, n=2, k=2), a, b, a)
    with pytest.raises(AssertionError, match="not inside live"):
        call(device, gemm, a, b, c[4:])
    with pytest.raises(AssertionError, match="matrices of C overlap"):
        call(device, gemm, a, b, c, step=-1)
    device.give_workspace()
    del device.workspace
    with pytest.raises(AssertionError, match="not inside live"):
        call(device, gemm, a, b, c)
    device.cupy.cuda.Stream(non_blocking=True).use()
    with pytest.raises(AssertionError, match="not the current stream"):
        call(device, gemm, a, b, c)


def test_setting_a_stream_takes_cublas_s_workspace_away_which_a_capture_needs(device: Bench) -> None:
    a, b, c = operands(device, Gemm())
    statuses = []
    for prepare in (device.set_stream, device.give_workspace, device.set_stream):
        assert prepare() == 0
        device.stream.begin_capture()
        statuses.append(call(device, Gemm(), a, b, c))
        graph = device.stream.end_capture()
        if not statuses[-1]:
            assert np.isnan(host(c)).all()
            a[...] = 2 * a
            graph.launch(device.stream)
            np.testing.assert_allclose(host(c), Gemm().expected(host(a), host(b), host(c)), rtol=TOLERANCE)
    assert statuses == [14, 0, 14]


def test_bfloat16_rounds_to_the_nearest_and_ties_to_even() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    values = from_bfloat16(bits)
    number = ~np.isnan(values)
    np.testing.assert_array_equal(to_bfloat16(values[number]), bits[number])
    assert np.isnan(from_bfloat16(to_bfloat16(values[~number]))).all()
    finite = np.sort(values[np.isfinite(values)].astype(np.float64))
    finite = finite[np.diff(finite, prepend=-np.inf) > 0]
    middle = (finite[:-1] + finite[1:]) / 2
    even = np.where(to_bfloat16(finite[:-1]) % 2 == 0, finite[:-1], finite[1:])
    np.testing.assert_array_equal(from_bfloat16(to_bfloat16(middle.astype(np.float32))), even)
    above = np.nextafter(middle.astype(np.float32), np.float32(np.inf))
    np.testing.assert_array_equal(from_bfloat16(to_bfloat16(above)), finite[1:])


def test_strides_are_distinct_where_no_number_has_two_indices() -> None:
    assert distinct((2, 3, 4), (12, 1, 3))
    assert distinct((2, 1, 4), (4, 0, 1))
    assert not distinct((2, 3, 4), (11, 1, 3))
    assert not distinct((2, 2), (0, 1))
