"""Winograd's minimal filtering F(2×2, 3×3): the matrices, exact before they are rounded once.

A tile of 4 × 4 values gives 2 × 2 results of a 3 × 3 correlation by 16 products instead of 36:

    Y = Aᵀ ((G g Gᵀ) ⊙ (Bᵀ d B)) A

Seen as vectors, in row-major order, these are products with the Kronecker squares of G, Bᵀ and Aᵀ.
The weights' gradient is the same bilinear form seen from another side: Gᵀ ((Bᵀ d B) ⊙ (A Yʹ Aᵀ)) G.

Larger tiles need fewer products and round more: at twice the direct sum's error these stay within
what float32 leaves open, while F(4×4, 3×3), at eight times, shows in the gradients of deep nets.

Sources: Winograd, Arithmetic Complexity of Computations (1980); Lavin and Gray, Fast Algorithms for
Convolutional Neural Networks (2015).
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

RESULTS, KERNEL = 2, 3
SIDE = RESULTS + KERNEL - 1
POINTS = tuple(Fraction(point) for point in ("0", "1", "-1"))
"""Where the polynomials are taken, besides infinity."""
ONES = POINTS.index(Fraction(1)) * (SIDE + 1)
"""The product that is part of every result with factor one: a constant added to it is added to them all."""

Matrix = npt.NDArray[np.float32]


@cache
def spread() -> Matrix:
    """Bᵀ ⊗ Bᵀ, 16 × 16: from a tile to factors."""
    rows = [[*_polynomial([q for q in POINTS if q != p]), Fraction(0)] for p in POINTS]
    return _square([*rows, _polynomial(POINTS)])


@cache
def spread_kernel() -> Matrix:
    """G ⊗ G, 16 × 9: from a kernel to factors."""
    rows = [[p**k / _product(p - q for q in POINTS if q != p) for k in range(KERNEL)] for p in POINTS]
    return _square([*rows, [Fraction(k == KERNEL - 1) for k in range(KERNEL)]])


@cache
def gather() -> Matrix:
    """Aᵀ ⊗ Aᵀ, 4 × 16: from products to results."""
    return _square([[*(p**k for p in POINTS), Fraction(k == RESULTS - 1)] for k in range(RESULTS)])


def _product(factors: Any) -> Fraction:
    return reduce(Fraction.__mul__, factors, Fraction(1))


def _polynomial(roots: Any) -> list[Fraction]:
    """The coefficients of Π (x - root), the constant first."""
    found = [Fraction(1)]
    for root in roots:
        found = [low - root * high for low, high in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)]
    return found


def _square(rows: list[list[Fraction]]) -> Matrix:
    matrix = np.array([[float(value) for value in row] for row in rows])
    return np.ascontiguousarray(np.kron(matrix, matrix), np.float32)
