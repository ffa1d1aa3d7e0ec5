"""Products with transform matrices, as unrolled sums of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from cafx_lib_llvm import Emitter, Value

from .matrices import ONE, ZERO, Matrix

Square = Sequence[Sequence[Value]]
"""Rows of vectors: one value per channel of a block at each place of a tile."""


def transform(e: Emitter, matrix: Matrix, values: Square) -> Square:
    """M · V · Mᵀ."""
    columns = [multiply(e, matrix, column) for column in zip(*values, strict=True)]
    return [multiply(e, matrix, row) for row in zip(*columns, strict=True)]


def multiply(e: Emitter, matrix: Matrix, values: Sequence[Value]) -> list[Value]:
    """M · v; two rows that differ only in signs are the sum and the difference of two partial sums."""
    results: dict[int, Value] = {}
    for i, row in enumerate(matrix):
        for j in range(i + 1, len(matrix)):
            if i in results or j in results or any(abs(a) != abs(b) for a, b in zip(row, matrix[j], strict=True)):
                continue
            equal = [a if a == b else ZERO for a, b in zip(row, matrix[j], strict=True)]
            opposite = [a if a != b else ZERO for a, b in zip(row, matrix[j], strict=True)]
            if any(equal) and any(opposite):
                even, odd = _sum(e, equal, values), _sum(e, opposite, values)
                results[i], results[j] = e.builder.fadd(even, odd), e.builder.fsub(even, odd)
    return [results[i] if i in results else _sum(e, row, values) for i, row in enumerate(matrix)]


def square(values: Sequence[Value], side: int) -> Square:
    """Split values into rows of equal length, as many as columns."""
    return [values[i * side : (i + 1) * side] for i in range(side)]


def flat(values: Square) -> list[Value]:
    """The values of all rows, concatenated."""
    return [each for row in values for each in row]


def _sum(e: Emitter, row: Sequence[Fraction], values: Sequence[Value]) -> Value:
    terms = sorted(((c, v) for c, v in zip(row, values, strict=True) if c), key=lambda term: term[0] != ONE)
    (first, total), *others = terms
    if first != ONE:
        total = e.builder.fmul(e.constant(float(first)), total)
    for coefficient, value in others:
        if abs(coefficient) == ONE:
            total = (e.builder.fadd if coefficient == ONE else e.builder.fsub)(total, value)
        else:
            total = e.fma(e.constant(float(coefficient)), value, total)
    return total
