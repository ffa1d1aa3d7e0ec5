"""exp, tanh and the logistic function of vectors, to a few units in the last place; NaN gives NaN."""

from __future__ import annotations

import math

from cafx_lib_llvm import LANES, Emitter, Value
from cafx_lib_llvm.emitter import BITS, VECTOR

LIMIT = 87.0
"""Beyond ± this, exp is taken at ± this: 2ⁿ must be a float32."""
LOWEST = -87.33
"""The exponent of nearly the smallest normal float32."""
ROUNDER = 1.5 * 2**23
"""Added to a float32, it leaves the nearest integer in the lowest bits."""
LOG2_HIGH = 0.693359375
"""log 2, rounded to 9 bits: its product with an integer is exact."""
MANTISSA_BITS, ONE_BITS = 23, 0x3F800000
TERMS = 7
"""Powers in the series of exp(r) - 1, |r| ≤ log(2) / 2: what is left out is less than 1e-8 of it."""


def exp(e: Emitter, x: Value) -> Value:
    """exp(x) for x ≤ `LIMIT`; 0 where it is less than the smallest normal float32."""
    scale, small = _split_exp(e, x, LOWEST)
    below = e.builder.fcmp_ordered("<", x, e.constant(LOWEST))
    return e.builder.select(below, e.constant(0), e.fma(scale, small, scale))


def exp_minus_one(e: Emitter, x: Value) -> Value:
    """exp(x) - 1, with small relative error near 0, too."""
    scale, small = _split_exp(e, x, -LIMIT)
    return e.fma(scale, small, e.builder.fsub(scale, e.constant(1)))


def _split_exp(e: Emitter, x: Value, lowest: float) -> tuple[Value, Value]:
    """2ⁿ and exp(r) - 1, where x = n · log 2 + r, so that exp(x) = 2ⁿ + 2ⁿ · (exp(r) - 1)."""
    b = e.builder
    for limit, relation in ((LIMIT, ">"), (lowest, "<")):
        x = b.select(b.fcmp_ordered(relation, x, e.constant(limit)), e.constant(limit), x)
    shifted = e.fma(x, e.constant(1 / math.log(2)), e.constant(ROUNDER))
    n = b.fsub(shifted, e.constant(ROUNDER))
    r = e.fma(n, e.constant(-LOG2_HIGH), x)
    r = e.fma(n, e.constant(LOG2_HIGH - math.log(2)), r)
    series = e.constant(1 / math.factorial(TERMS))
    for power in range(TERMS - 1, 1, -1):
        series = e.fma(series, r, e.constant(1 / math.factorial(power)))
    small = e.fma(series, b.fmul(r, r), r)
    bits = b.shl(b.bitcast(shifted, BITS), BITS([MANTISSA_BITS] * LANES))
    return b.bitcast(b.add(bits, BITS([ONE_BITS] * LANES)), VECTOR), small


def tanh(e: Emitter, x: Value) -> Value:
    """(exp(2x) - 1) / (exp(2x) + 1)."""
    power = exp_minus_one(e, e.builder.fadd(x, x))
    return e.builder.fdiv(power, e.builder.fadd(power, e.constant(2)))


def logistic(e: Emitter, x: Value) -> Value:
    """1 / (1 + exp(-x)) = (tanh(x / 2) + 1) / 2, which is 0 at -∞."""
    half = e.constant(0.5)
    return e.fma(tanh(e, e.builder.fmul(x, half)), half, half)
