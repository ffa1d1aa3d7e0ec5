"""A stand-in for cuBLAS: matrix products by NumPy behind the C functions' names and arguments.

Where the real library returns a status, so does this one. Where it would compute something wrong without a word, this
one raises AssertionError.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from .cublas_arguments import Arguments
from .library_memory import (
    BFLOAT16,
    DOUBLE,
    FLOAT,
    Kind,
    Operand,
    check_aligned,
    check_disjoint,
    check_stream,
    distinct,
)
from .runtime import Runtime

SUCCESS, NOT_INITIALIZED, INVALID_VALUE, INTERNAL_ERROR, NOT_SUPPORTED = 0, 1, 7, 14, 15
KINDS = {0: FLOAT, 1: DOUBLE, 14: BFLOAT16}
COMPUTE_32F, COMPUTE_64F, COMPUTE_32F_TF32 = 68, 70, 77
SUPPORTED = {
    (COMPUTE_32F, 0, 0),
    (COMPUTE_32F, 14, 0),
    (COMPUTE_32F, 14, 14),
    (COMPUTE_32F_TF32, 0, 0),
    (COMPUTE_64F, 1, 1),
}
"""Compute type, type of A and B, type of C."""
COMPUTE_TYPES = frozenset(compute for compute, *_ in SUPPORTED)
OPERATIONS = (0, 1, 2)
WORKSPACE_ALIGNMENT = 16


@attrs.define
class State:
    """What a handle knows: its stream, and its workspace as address and bytes."""

    stream: int | None = None
    workspace: tuple[int, int] | None = None


class Function:
    """A library's function as ctypes presents it: callable, with ``argtypes`` and ``restype`` that may be set."""

    def __init__(self, name: str, body: Callable[[Arguments], int]) -> None:
        self.__name__ = name
        self.argtypes: list[Any] | None = None
        self.restype: Any = ctypes.c_int
        self._body = body

    def __call__(self, *arguments: Any) -> int:
        """Call the function; its status."""
        read = Arguments(self.__name__, arguments, self.argtypes)
        status = self._body(read)
        read.finish()
        return status


class Library:
    """The functions of cuBLAS that matrix products on the device need.

    Args:
        runtime: the stand-in device.

    Example:
        >>> from .runtime import Runtime
        >>> handle, library = ctypes.c_void_p(), Library(Runtime())
        >>> library.cublasCreate_v2(ctypes.byref(handle)), bool(handle.value)
        (0, True)
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._handles: dict[int, State] = {}
        self._numbers = itertools.count(0x5B1A5000, 16)
        self.cublasCreate_v2 = Function("cublasCreate_v2", self._create)
        self.cublasDestroy_v2 = Function("cublasDestroy_v2", self._destroy)
        self.cublasSetStream_v2 = Function("cublasSetStream_v2", self._set_stream)
        self.cublasSetWorkspace_v2 = Function("cublasSetWorkspace_v2", self._set_workspace)
        self.cublasGemmEx = Function("cublasGemmEx", self._gemm)
        self.cublasGemmStridedBatchedEx = Function("cublasGemmStridedBatchedEx", self._gemm_strided_batched)

    def _create(self, arguments: Arguments) -> int:
        number = next(self._numbers)
        self._handles[number] = State()
        arguments.store(number)
        return SUCCESS

    def _destroy(self, arguments: Arguments) -> int:
        return NOT_INITIALIZED if self._handles.pop(arguments.pointer(), None) is None else SUCCESS

    def _set_stream(self, arguments: Arguments) -> int:
        state, stream = self._handles.get(arguments.pointer()), arguments.pointer()
        if state is None:
            return NOT_INITIALIZED
        state.stream, state.workspace = stream, None
        return SUCCESS

    def _set_workspace(self, arguments: Arguments) -> int:
        state, address, size = self._handles.get(arguments.pointer()), arguments.pointer(), arguments.wide()
        if state is None:
            return NOT_INITIALIZED
        if address % WORKSPACE_ALIGNMENT:
            return INVALID_VALUE
        state.workspace = (address, size) if address and size else None
        return SUCCESS

    def _gemm(self, arguments: Arguments) -> int:
        return self._product(arguments, batched=False)

    def _gemm_strided_batched(self, arguments: Arguments) -> int:
        return self._product(arguments, batched=True)

    def _product(self, arguments: Arguments, *, batched: bool) -> int:
        state, call = self._handles.get(arguments.pointer()), GemmCall.parse(arguments, batched=batched)
        if state is None:
            return NOT_INITIALIZED
        if status := call.status():
            return status
        if self._runtime.current_stream.is_capturing() and state.workspace is None:
            return INTERNAL_ERROR
        self._runtime.library_calls.append((arguments.function, str(call.compute)))
        check_stream(state.stream, self._runtime, arguments.function)
        if call.m and call.n and call.batch:
            submit(call.product(), state.workspace, self._runtime, arguments.function)
        return SUCCESS


@attrs.define
class Stored:
    """A matrix argument: its address, type, leading dimension and the step from matrix to matrix."""

    address: int
    kind: int
    leading: int
    stride: int

    @classmethod
    def parse(cls, arguments: Arguments, *, batched: bool) -> Stored:
        """Read the arguments that describe one matrix."""
        found = cls(arguments.pointer(), arguments.integer(), arguments.integer(), 0)
        found.stride = arguments.wide() if batched else 0
        return found

    def operand(self, batch: int, rows: int, columns: int, *, transposed: bool = False) -> Operand:
        """The matrix op(X), rows × columns, of each batch."""
        steps = (self.leading, 1) if transposed else (1, self.leading)
        return Operand(self.address, (batch, rows, columns), (self.stride, *steps), KINDS[self.kind])


@attrs.define
class GemmCall:
    """The arguments of a product, in the order of the C function."""

    transa: int
    transb: int
    m: int
    n: int
    k: int
    alpha: Callable[[Any], float | None]
    a: Stored
    b: Stored
    beta: Callable[[Any], float | None]
    c: Stored
    batch: int
    compute: int

    @classmethod
    def parse(cls, arguments: Arguments, *, batched: bool) -> GemmCall:
        """Read all arguments after the handle."""
        transa, transb, m, n, k = (arguments.integer() for _ in range(5))
        alpha, a, b = (
            arguments.scalar(),
            Stored.parse(arguments, batched=batched),
            Stored.parse(arguments, batched=batched),
        )
        beta, c = arguments.scalar(), Stored.parse(arguments, batched=batched)
        batch = arguments.integer() if batched else 1
        compute, _algorithm = arguments.integer(), arguments.integer()
        return cls(transa, transb, m, n, k, alpha, a, b, beta, c, batch, compute)

    def status(self) -> int:
        """The status that cuBLAS would return before it computes."""
        rows_a, rows_b = (self.k if self.transa else self.m), (self.n if self.transb else self.k)
        leading = ((self.a, rows_a), (self.b, rows_b), (self.c, self.m))
        if (
            min(self.m, self.n, self.k, self.batch) < 0
            or self.transa not in OPERATIONS
            or self.transb not in OPERATIONS
            or any(matrix.leading < max(1, rows) for matrix, rows in leading)
            or self._scalar(self.alpha) is None
            or self._scalar(self.beta) is None
        ):
            return INVALID_VALUE
        if self.a.kind != self.b.kind or (self.compute, self.a.kind, self.c.kind) not in SUPPORTED:
            return NOT_SUPPORTED
        return SUCCESS

    def _scalar(self, read: Callable[[Any], float | None]) -> float | None:
        return read(ctypes.c_double if self.compute == COMPUTE_64F else ctypes.c_float)

    def product(self) -> Product:
        """The product as strided operands."""
        alpha, beta = self._scalar(self.alpha), self._scalar(self.beta)
        assert alpha is not None
        assert beta is not None
        a = self.a.operand(self.batch, self.m, self.k, transposed=bool(self.transa))
        b = self.b.operand(self.batch, self.k, self.n, transposed=bool(self.transb))
        return Product(
            a, b, self.c.operand(self.batch, self.m, self.n), alpha, beta, DOUBLE if a.kind is DOUBLE else FLOAT
        )


@attrs.frozen
class Product:
    """C = alpha · A B + beta · C for each matrix of a batch; ``kind`` is what sums are computed in."""

    a: Operand
    b: Operand
    c: Operand
    alpha: float
    beta: float
    kind: Kind

    def run(self, runtime: Runtime) -> None:
        """Compute it; with beta 0, C is not read."""
        alpha, beta = np.asarray([self.alpha, self.beta], self.kind.computed)
        result = np.matmul(self.a.read(runtime), self.b.read(runtime)) * alpha
        if self.beta:
            result += self.c.read(runtime) * beta
        self.c.write(runtime, result)


def submit(product: Product, workspace: tuple[int, int] | None, runtime: Runtime, what: str) -> None:
    """Check a product's memory and hand it to the device."""
    inputs = [operand for operand in (product.a, product.b) if operand.nbytes]
    for operand in (*inputs, product.c):
        check_aligned(operand.address, operand.kind.itemsize, what)
    assert distinct(product.c.shape, product.c.strides), f"{what}: the matrices of C overlap each other"
    spans = [operand.span for operand in (*inputs, product.c)]
    spans += [workspace] if workspace else []
    runtime.blocks(spans, what)
    check_disjoint(product.c, inputs, runtime, what)
    runtime.submit(lambda: product.run(runtime), spans, what)
