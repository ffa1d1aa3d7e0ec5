"""The option ``base`` of the layers Exp and Log."""

from __future__ import annotations

import math

from cafx.kernel import Layer

NATURAL = -1.0
"""Value of ``base`` that stands for e."""


def log_base(layer: Layer) -> float:
    """The natural logarithm of a layer's option ``base``.

    Raises:
        CafxError: the base is neither positive and finite nor -1.
    """
    base: float = layer.options.base
    if base == NATURAL:
        return 1.0
    if not 0 < base < math.inf:
        raise layer.error("option 'base'", found=f"{base:g}", expected="a positive number, or -1 for e")
    return math.log(base)
