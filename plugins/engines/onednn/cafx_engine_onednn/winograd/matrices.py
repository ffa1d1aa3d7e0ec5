"""The matrices of Winograd's minimal filtering, as exact fractions that are rounded only once.

F(m, r) computes m outputs of a correlation with r taps from the products of transformed inputs and transformed
taps. Nested in two dimensions:

    Y = Aᵀ ((G g Gᵀ) ⊙ (Bᵀ d B)) A

with the input transform Bᵀ, the filter transform G and the output transform Aᵀ. The gradient of the filter is the
same bilinear form:

    ∂g = Gᵀ ((Bᵀ d B) ⊙ (A ∂Y Aᵀ)) G

Larger tiles need fewer products and lose more precision, and so do interpolation points other than 0, 1, -1 and
infinity. The errors stated below are root mean squares relative to oneDNN's direct convolution, measured on 128
channels of 28 × 28 (3 taps) and 64 channels of 27 × 27 (5 taps). F(2, 3), F(4, 3) and F(4, 5) take 2.25, 4 and
6.25 times fewer products than direct summation.

Sources: Winograd, Arithmetic Complexity of Computations (1980); Lavin and Gray, Fast Algorithms for
Convolutional Neural Networks (2015); Barabasz et al., Error Analysis and Improving the Accuracy of Winograd
Convolution for Deep Neural Networks (2020).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import reduce

import attrs

Matrix = tuple[tuple[Fraction, ...], ...]
ZERO, ONE = Fraction(0), Fraction(1)


@attrs.frozen
class Scheme:
    """F(m, r) in one dimension.

    Attributes:
        outputs: m.
        taps: r.
        input_transform: Bᵀ, points × (m + r - 1).
        filter_transform: G, points × r.
        output_transform: Aᵀ, m × points.
    """

    outputs: int
    taps: int
    input_transform: Matrix
    filter_transform: Matrix
    output_transform: Matrix

    @property
    def inputs(self) -> int:
        """Number of values that m outputs depend on: m + r − 1."""
        return self.outputs + self.taps - 1

    @property
    def points(self) -> int:
        """Number of products, one per interpolation point."""
        return len(self.input_transform)

    @property
    def components(self) -> int:
        """Number of products in two dimensions, that is, values of a tile in the transform domain."""
        return self.points**2

    @property
    def unit_point(self) -> int:
        """The point whose product is part of every output with coefficient 1."""
        return next(i for i in range(self.points) if all(row[i] == 1 for row in self.output_transform))


def scheme(outputs: int, taps: int, points: Iterable[str]) -> Scheme:
    """F(m, r) by the Toom–Cook construction.

    Args:
        outputs: m.
        taps: r.
        points: the m + r - 2 interpolation points besides infinity.
    """
    finite = [Fraction(point) for point in points]
    others = {p: [q for q in finite if q != p] for p in finite}
    last_output = [Fraction(k == outputs - 1) for k in range(outputs)]
    last_tap = [Fraction(k == taps - 1) for k in range(taps)]
    input_transform = [[*_polynomial(others[p]), ZERO] for p in finite] + [_polynomial(finite)]
    filter_transform = [[p**k / _product(p - q for q in others[p]) for k in range(taps)] for p in finite]
    output_transform = [[*(p**k for p in finite), last] for k, last in enumerate(last_output)]
    transforms = input_transform, [*filter_transform, last_tap], output_transform
    return Scheme(outputs, taps, *map(_frozen, transforms))


def transpose(matrix: Matrix) -> Matrix:
    """The transpose."""
    return tuple(zip(*matrix, strict=True))


def _product(factors: Iterable[Fraction]) -> Fraction:
    return reduce(Fraction.__mul__, factors, ONE)


def _polynomial(roots: Iterable[Fraction]) -> list[Fraction]:
    """The coefficients of Π (x − root), starting with the constant."""
    coefficients = [ONE]
    for root in roots:
        shifted = zip([ZERO, *coefficients], [*coefficients, ZERO], strict=True)
        coefficients = [low - root * high for low, high in shifted]
    return coefficients


def _frozen(rows: Sequence[Sequence[Fraction]]) -> Matrix:
    return tuple(tuple(row) for row in rows)


POINTS = ("0", "1", "-1", "1/2", "-2", "2", "-1/2")
F2_3, F4_3, F4_5 = scheme(2, 3, POINTS[:3]), scheme(4, 3, POINTS[:5]), scheme(4, 5, POINTS)

FORWARD = {3: (F2_3, F4_3), 5: (F4_5,)}
"""Schemes of the forward pass by number of taps, with errors of 1, 4.5 and 5.7. In twelve layers of 64 channels with
ReLUs, the tops are within 3e-6 of float64 and the gradients within 5e-6; with direct summation, 1e-6."""

BACKWARD_DATA = {3: (F4_3,), 5: (F4_5,)}
"""Schemes of the input gradient."""

BACKWARD_WEIGHTS = {3: (F4_3, scheme(5, 3, ("0", "1", "-1", "1/2", "-1/2", "-2")), scheme(6, 3, POINTS)), 5: (F4_5,)}
"""Schemes of the weight gradient. Its sums are so long that direct summation has the larger error."""


def fewest_products(schemes: Iterable[Scheme], height: int, width: int) -> Scheme:
    """The first of the schemes with the fewest products for height × width outputs."""
    return min(schemes, key=lambda s: -(-height // s.outputs) * -(-width // s.outputs) * s.components)
