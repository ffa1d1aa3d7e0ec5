"""Matrix products by a cuBLAS handle of our own, which, other than CuPy's, may be recorded into a graph."""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import attrs
import numpy as np

WORKSPACE = 32 << 20
"""Bytes of cuBLAS's workspace: what NVIDIA recommends for Hopper."""
REAL_32F, REAL_64F, REAL_16BF = 0, 1, 14
COMPUTE_32F, COMPUTE_64F, COMPUTE_32F_TF32 = 68, 70, 77
DEFAULT_ALGORITHM = -1
SUCCESS = 0


@functools.cache
def load_library() -> Any:
    """cuBLAS, from its wheel or from where the system keeps it.

    Raises:
        OSError: there is none.
    """
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib
    except ImportError:
        return ctypes.CDLL("libcublas.so.13")
    return ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)


@attrs.frozen
class Matrix:
    """An operand of a product, as cuBLAS knows it: column-major.

    Attributes:
        pointer: its address.
        leading: values from column to column.
        transposed: whether it is read transposed.
        stride: values from matrix to matrix of a batch.
    """

    pointer: int
    leading: int
    transposed: bool = False
    stride: int = 0


class Blas:
    """cuBLAS on one stream.

    Args:
        stream: the stream, current in this thread.
        tf32: whether float32 operands may be rounded to TF32.
    """

    def __init__(self, stream: Any, *, tf32: bool = False) -> None:
        import cupy

        self._cupy, self._library, self._tf32 = cupy, load_library(), tf32
        self._handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(self._handle))
        self._call("cublasSetStream_v2", self._handle, ctypes.c_void_p(stream.ptr))
        # after the stream: setting a stream takes the workspace away
        self._workspace = cupy.empty(WORKSPACE, np.uint8)
        size = ctypes.c_size_t(WORKSPACE)
        self._call("cublasSetWorkspace_v2", self._handle, ctypes.c_void_p(self._workspace.data.ptr), size)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status != SUCCESS:
            raise RuntimeError(f"{name}: cuBLAS status {status}")

    def gemm(
        self,
        shape: tuple[int, int, int],
        a: Matrix,
        b: Matrix,
        c: Matrix,
        *,
        kinds: tuple[int, int] = (REAL_32F, REAL_32F),
        alpha: float = 1.0,
        beta: float = 0.0,
        batch: int = 1,
    ) -> None:
        """C = alpha · A B + beta · C, column-major.

        Args:
            shape: m, n, k: C is m × n, A is m × k, B is k × n.
            a, b, c: the matrices.
            kinds: types of A and B, and of C.
            alpha, beta: factors; with beta 0, C is not read.
            batch: how many products.
        """
        double = kinds[0] == REAL_64F
        compute = COMPUTE_64F if double else COMPUTE_32F
        if self._tf32 and kinds[0] == REAL_32F:
            compute = COMPUTE_32F_TF32
        scalar = ctypes.c_double if double else ctypes.c_float
        m, n, k = shape
        self._call(
            "cublasGemmStridedBatchedEx",
            self._handle,
            ctypes.c_int(a.transposed),
            ctypes.c_int(b.transposed),
            *map(ctypes.c_int, (m, n, k)),
            ctypes.byref(scalar(alpha)),
            *self._operand(a, kinds[0]),
            *self._operand(b, kinds[0]),
            ctypes.byref(scalar(beta)),
            *self._operand(c, kinds[1]),
            ctypes.c_int(batch),
            ctypes.c_int(compute),
            ctypes.c_int(DEFAULT_ALGORITHM),
        )

    def _operand(self, matrix: Matrix, kind: int) -> tuple[Any, ...]:
        pointer, stride = ctypes.c_void_p(matrix.pointer), ctypes.c_longlong(matrix.stride)
        return pointer, ctypes.c_int(kind), ctypes.c_int(matrix.leading), stride

    def matmul(self, a: Any, b: Any, out: Any = None) -> Any:
        """numpy.matmul for arrays on the GPU of two or more axes and of one type, float32 or float64."""
        kind = {"f": REAL_32F, "d": REAL_64F}.get(a.dtype.char)
        if kind is None or a.dtype != b.dtype or a.ndim < 2 or b.ndim < 2:
            return self._cupy.matmul(a, b, out=out)
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        (m, k), n = a.shape[-2:], b.shape[-1]
        if b.shape[-2] != k:
            raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not match")
        shape = (*lead, m, n)
        direct = out is not None and out.dtype == a.dtype and out.flags.c_contiguous and out.shape == shape
        result = out if direct else self._cupy.empty(shape, a.dtype)
        if not result.size:
            return result
        if not k:
            result[...] = 0
        else:
            keep_a, left = self._matrix(a, lead)
            keep_b, right = self._matrix(b, lead)
            product = Matrix(result.data.ptr, n, stride=m * n)
            # row-major C = A B is column-major C' = B' A'
            self.gemm((n, m, k), right, left, product, kinds=(kind, kind), batch=math.prod(lead))
            del keep_a, keep_b  # what the product reads has lived until it was queued
        if out is not None and not direct:
            out[...] = result
            return out
        return result

    def _matrix(self, array: Any, lead: Sequence[int]) -> tuple[Any, Matrix]:
        """An operand without a copy if its strides allow; with one otherwise. The array is to be kept."""
        found = _strided(array, lead)
        if found is None:
            array = self._cupy.ascontiguousarray(self._cupy.broadcast_to(array, (*lead, *array.shape[-2:])))
            found = _strided(array, lead)
            assert found is not None
        return array, found


def _strided(array: Any, lead: Sequence[int]) -> Matrix | None:
    """An array in its present layout; None if cuBLAS cannot read that."""
    rows, columns = array.shape[-2:]
    steps = [step // array.itemsize for step in array.strides]
    down, right = steps[-2:]
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        leading, transposed = (down if rows > 1 else columns), False
    elif (down == 1 or rows == 1) and (right >= rows or columns == 1):
        leading, transposed = (right if columns > 1 else rows), True
    else:
        return None
    stride = _batch_stride(array.shape[:-2], steps[:-2], lead)
    if stride is None or any(step % array.itemsize for step in array.strides):
        return None
    return Matrix(array.data.ptr, max(1, leading), transposed, stride)


def _batch_stride(shape: Sequence[int], steps: Sequence[int], lead: Sequence[int]) -> int | None:
    """Values from matrix to matrix of a batch; None if they do not follow at equal steps."""
    if math.prod(shape) == 1:
        return 0
    if tuple(shape) != tuple(lead):
        return None
    axes = [(length, step) for length, step in zip(shape, steps, strict=True) if length > 1]
    for (_, outer), (length, inner) in pairwise(axes):
        if outer != length * inner:
            return None
    return axes[-1][1]
