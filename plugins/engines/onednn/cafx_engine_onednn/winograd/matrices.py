"""Winograd's minimal filtering: the matrices, exact before they are rounded once.

m results of a correlation with r taps come of the products of n values and n taps, seen from another
basis; in two dimensions of their squares:

    Y = Aᵀ ((G g Gᵀ) ⊙ (Bᵀ d B)) A

The weights' gradient is the same bilinear form seen from another side: Gᵀ ((Bᵀ d B) ⊙ (A Yʹ Aᵀ)) G.

The more results a tile has, the fewer products and the more rounding. Points other than 0, 1, -1 and
infinity make values of unlike size. What is said of errors below was measured with 128 channels of 28 × 28
(3 taps) and 64 of 27 × 27 (5 taps), root of the mean square, and that of direct sums is oneDNN's.

Sources: Winograd, Arithmetic Complexity of Computations (1980); Lavin and Gray, Fast Algorithms for
Convolutional Neural Networks (2015); Barabasz and others, Error Analysis and Improving the Accuracy of
Winograd Convolution for Deep Neural Networks (2020).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import reduce

import attrs

Matrix = tuple[tuple[Fraction, ...], ...]
ZERO, ONE = Fraction(0), Fraction(1)


@attrs.frozen(eq=False)
class Scheme:
    """One dimension of a way to correlate.

    Attributes:
        results, taps: m and r.
        spread: Bᵀ, from m + r - 1 values to factors.
        kernel: G, from r taps to factors.
        gather: Aᵀ, from products to m results.
    """

    results: int
    taps: int
    spread: Matrix
    kernel: Matrix
    gather: Matrix

    @property
    def side(self) -> int:
        """How many values m results are made of."""
        return self.results + self.taps - 1

    @property
    def factors(self) -> int:
        """How many products they take."""
        return len(self.spread)

    @property
    def ones(self) -> int:
        """A product that is part of every result with factor one."""
        return next(i for i in range(self.factors) if all(row[i] == 1 for row in self.gather))


def scheme(results: int, taps: int, points: Iterable[str]) -> Scheme:
    """From the points where polynomials are taken, besides infinity: m + r - 2 of them."""
    where = [Fraction(point) for point in points]
    others = {p: [q for q in where if q != p] for p in where}
    spread = [[*_polynomial(others[p]), ZERO] for p in where] + [_polynomial(where)]
    kernel = [[p**k / _product(p - q for q in others[p]) for k in range(taps)] for p in where]
    gather = [[*(p**k for p in where), Fraction(k == results - 1)] for k in range(results)]
    last = [Fraction(k == taps - 1) for k in range(taps)]
    return Scheme(results, taps, _frozen(spread), _frozen([*kernel, last]), _frozen(gather))


def joined(first: Scheme, second: Scheme) -> Scheme:
    """A longer correlation as the sum of two: taps of the one, then taps of the other."""
    side = first.side + second.taps
    spread = [[*row, *[ZERO] * (side - first.side)] for row in first.spread]
    spread += [[*[ZERO] * first.taps, *row] for row in second.spread]
    kernel = [[*row, *[ZERO] * second.taps] for row in first.kernel]
    kernel += [[*[ZERO] * first.taps, *row] for row in second.kernel]
    gather = [[*one, *other] for one, other in zip(first.gather, second.gather, strict=True)]
    taps = first.taps + second.taps
    return Scheme(first.results, taps, _frozen(spread), _frozen(kernel), _frozen(gather))


def turned(matrix: Matrix) -> Matrix:
    """Rows and columns exchanged."""
    return tuple(zip(*matrix, strict=True))


def _product(factors: Iterable[Fraction]) -> Fraction:
    return reduce(Fraction.__mul__, factors, ONE)


def _polynomial(roots: Iterable[Fraction]) -> list[Fraction]:
    """The coefficients of Π (x - root), the constant first."""
    found = [ONE]
    for root in roots:
        found = [low - root * high for low, high in zip([ZERO, *found], [*found, ZERO], strict=True)]
    return found


def _frozen(rows: Sequence[Sequence[Fraction]]) -> Matrix:
    return tuple(tuple(row) for row in rows)


FEW = scheme(2, 3, ("0", "1", "-1"))
AHEAD = {3: (FEW,), 5: (joined(FEW, scheme(2, 2, ("0", "-1"))),)}
"""Rounding ahead decides which units and maxima pass gradients, so little of it is wanted: by taps, ways
with the points 0, 1, -1 and infinity alone, whose error is 1 to 1.7 times that of direct sums, for 16 and
49 products instead of 36 and 100."""

POINTS = ("0", "1", "-1", "1/2", "-2", "2", "-1/2")
BACK = {3: (scheme(4, 3, POINTS[:5]),), 5: (scheme(4, 5, POINTS),)}
"""What is lost on the way back stays as small as it is: 4.5 and 5.7 times a direct sum's error, for 4 and
6.25 times fewer products."""

WEIGHTS = {3: (*BACK[3], scheme(5, 3, ("0", "1", "-1", "1/2", "-1/2", "-2")), scheme(6, 3, POINTS)), 5: BACK[5]}
"""The weights' gradients are sums so long that all of these have less error than direct sums."""


def fewest(schemes: Iterable[Scheme], height: int, width: int) -> Scheme:
    """The way that takes the fewest products for results of height × width, the first of equals."""
    return min(schemes, key=lambda s: -(-height // s.results) * -(-width // s.results) * s.factors**2)
