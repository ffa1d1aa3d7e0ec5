"""Parts of kernels for values that are not finite."""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ir

from cafx_lib_llvm import INT, INTS, LANES, Emitter, Value
from cafx_lib_llvm.emitter import BITS

SUMS = 4
"""How many sums are computed side by side, since each addition waits for the one before."""
SCALE = 2.0**64
"""Values times this overflow if they are so large that Winograd's rounding errors would spoil their neighbours."""


def keep_unless_zero(e: Emitter, factor: Value) -> Value:
    """Bits to be combined with products of ``factor`` by `leaky`: none where it is 0."""
    none, every = (ir.Constant(BITS, [bits] * LANES) for bits in (0, -1))
    return e.builder.select(e.builder.fcmp_ordered("==", factor, e.constant(0)), none, every)


def leaky(e: Emitter, x: Value, slope: Value, kept: Value) -> Value:
    """x where x > 0, slope · x where x ≤ 0, NaN for NaN. With slope 0, -∞ gives 0, not NaN.

    Args:
        e: the kernel being written.
        x: the value.
        slope: the factor.
        kept: `keep_unless_zero` of it.
    """
    b = e.builder
    below = b.bitcast(b.and_(b.bitcast(b.fmul(slope, x), BITS), kept), x.type)
    return b.select(b.fcmp_ordered("<=", x, e.constant(0)), below, x)


class Finite:
    """Whether all values that a kernel computes are finite and not huge: `SCALE` · x, summed up, is finite then.

    Args:
        e: the kernel being written.
    """

    def __init__(self, e: Emitter) -> None:
        self._e, self._sum = e, e.allocate(1, zero=True)

    def check_corners(self, rows: Sequence[Sequence[Value]]) -> None:
        """Take a transformed tile into account: every component has a part in one of its corners."""
        self.check([row[column] for row in (rows[0], rows[-1]) for column in (0, -1)])

    def check(self, values: Sequence[Value]) -> None:
        """Take values into account."""
        e, scale = self._e, self._e.constant(SCALE)
        sums = [e.load(self._sum), *[e.constant(0)] * (SUMS - 1)]
        for index, each in enumerate(values):
            sums[index % SUMS] = e.fma(each, scale, sums[index % SUMS])
        total = sums[0]
        for each in sums[1:]:
            total = e.builder.fadd(total, each)
        e.store(total, self._sum)

    def report(self, address: Value) -> None:
        """Set what is at an address to 1 unless all values were finite and not huge."""
        b, total = self._e.builder, self._e.load(self._sum)
        total = b.fsub(total, total)
        lanes = b.bitcast(b.fcmp_unordered("uno", total, total), ir.IntType(LANES))
        with b.if_then(b.icmp_unsigned("!=", lanes, ir.IntType(LANES)(0))):
            b.store(INT(1), b.inttoptr(address, INTS))
