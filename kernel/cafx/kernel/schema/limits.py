"""Validators of options.

Example:
    >>> at_least(1)(0)
    'at least 1'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Check = Callable[[Any], "str | None"]
"""Returns None for a valid value, or else a description of valid values."""


def at_least(low: float) -> Check:
    """Check that a value is at least ``low``."""
    return lambda value: None if value >= low else f"at least {low}"


def above(low: float) -> Check:
    """Check that a value is greater than ``low``."""
    return lambda value: None if value > low else f"more than {low}"


def within(low: float, high: float) -> Check:
    """Check that a value is between ``low`` and ``high``, inclusive."""
    return lambda value: None if low <= value <= high else f"a value from {low} to {high}"


def one_of(*allowed: Any) -> Check:
    """Check that a value is one of ``allowed``."""
    return lambda value: None if value in allowed else "one of " + ", ".join(map(str, allowed))
