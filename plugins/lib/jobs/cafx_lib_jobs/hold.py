"""What a worker keeps from task to task, such as a built net."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Hold:
    """Objects that a worker makes once and uses in many tasks: the latest one of each function that makes them.

    Args:
        cores: see below.

    Attributes:
        cores: number of threads that the worker should use; None for any.

    Example:
        >>> hold = Hold()
        >>> first = hold.get(list, "abc")
        >>> hold.get(list, "abc") is first, hold.get(list, "abd") is first
        (True, False)
    """

    def __init__(self, cores: int | None = None) -> None:
        self.cores = cores
        self._held: dict[Callable[..., Any], tuple[tuple[Any, ...], Any]] = {}

    def get(self, make: Callable[..., T], *arguments: Any) -> T:
        """The result of ``make(*arguments)``; that of the previous call if the arguments are equal.

        An object that is replaced is closed first, if it has a method ``close``.
        """
        known = self._held.get(make)
        if known is None or known[0] != arguments:
            self._close(make)
            self._held[make] = arguments, make(*arguments)
        made: T = self._held[make][1]
        return made

    def close(self) -> None:
        """Close all objects."""
        for make in list(self._held):
            self._close(make)

    def _close(self, make: Callable[..., Any]) -> None:
        _, made = self._held.pop(make, ((), None))
        if hasattr(made, "close"):
            made.close()
