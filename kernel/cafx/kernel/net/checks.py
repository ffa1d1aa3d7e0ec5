"""Checks of values in an engine's place, without waiting for a device in the middle of a pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from cafx.kernel.blob import HOST, Place

MakeError = Callable[[], Exception]
MakeRangeError = Callable[[float, float], Exception]


@attrs.define
class Record:
    """The lowest and the highest value that a check has seen, kept on a device, and the range they must be in."""

    extremes: Any
    low: float
    high: float
    make_error: MakeRangeError

    def error(self) -> Exception | None:
        """The error if a value was out of range, or NaN; the record then starts anew."""
        lowest, highest = float(self.extremes[0]), float(self.extremes[1])
        if self.low < lowest and highest < self.high:
            return None
        self.clear()
        return self.make_error(lowest, highest)

    def clear(self) -> None:
        """As if no value had been seen."""
        self.extremes[0] = math.inf
        self.extremes[1] = -math.inf


class Checks:
    """Checks that layers make of their bottoms' values.

    On the host a check raises at once. On a device, where reading a value would wait for the pass
    and could not be recorded, its outcome is folded into a record on the device, one per key, and
    `verify` raises before results are shown. Until then the pass continues: a layer must do no harm
    with values that fail a check, such as an index out of range.

    Args:
        place: where the values are.
        xp: array module of that place.

    Example:
        >>> from cafx.kernel import CafxError
        >>> checks = Checks(HOST, np)
        >>> labels, error = np.array([0.0, 7.0]), lambda low, high: CafxError(f"{high:g} is not a class index")
        >>> checks.require_range(labels, -1, 8, error, "loss.labels")
        >>> checks.require_range(labels, -1, 5, error, "loss.labels")
        Traceback (most recent call last):
            ...
        cafx.kernel.errors.CafxError: 7 is not a class index
    """

    def __init__(self, place: Place = HOST, xp: Any = np) -> None:
        self._on_host = place is HOST
        self._xp = xp
        self._records: dict[str, Record] = {}

    def require(self, ok: Any, error: MakeError, key: str) -> None:
        """Check that a flag is true.

        Args:
            ok: the flag; one that is on the host is checked at once in any case.
            error: makes the error.
            key: the name of the caller and what it checks.

        Raises:
            Exception: what ``error`` returns.
        """
        if self._on_host or isinstance(ok, (bool, np.bool_)):
            if not ok:
                raise error()
        else:
            self.require_range(ok, 0, math.inf, lambda lowest, highest: error(), key)

    def require_range(self, values: Any, low: float, high: float, error: MakeRangeError, key: str) -> None:
        """Check that ``low < value < high`` for every value; NaN is not.

        Args:
            values: an array in the engine's place; an empty one passes.
            low, high: the bounds, which are not allowed themselves.
            error: makes the error from the lowest and the highest value.
            key: the name of the caller and what it checks.

        Raises:
            Exception: what ``error`` returns.
        """
        if not values.size:
            return
        lowest, highest = values.min(), values.max()
        if self._on_host:
            if not (low < lowest and highest < high):
                raise error(float(lowest), float(highest))
            return
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = Record(self._xp.empty(2, np.float64), low, high, error)
            record.clear()
        record.low, record.high, record.make_error = low, high, error
        extremes = record.extremes
        self._xp.minimum(extremes[:1], lowest, out=extremes[:1])
        self._xp.maximum(extremes[1:], highest, out=extremes[1:])

    def indices(self, values: Any, count: int, error: MakeRangeError, key: str) -> Any:
        """Values as indices below ``count``: `require_range`, then whole numbers towards zero.

        Args:
            values: an array in the engine's place.
            count: the first number that is no index.
            error, key: as for `require_range`.

        Returns:
            The indices as int64, on a device clipped to the range.

        Raises:
            Exception: what ``error`` returns.
        """
        self.require_range(values, -1, count, error, key)
        whole = values.astype(np.int64)
        return whole if self._on_host else self._xp.clip(whole, 0, max(0, count - 1))

    def verify(self) -> None:
        """Raise the error of the first check that has failed since the last call; this waits for a device.

        Raises:
            Exception: what that check's ``error`` returns.
        """
        for record in self._records.values():
            error = record.error()
            if error is not None:
                raise error
