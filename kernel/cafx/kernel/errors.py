"""The one error a person can cause, and the near-miss hint that goes with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class CafxError(Exception):
    """Something a person can put right: where it is, what was found and expected, and the remedy.

    Args:
        message: what is wrong, in one clause.
        where: ``file:line`` or the layer, e.g. ``lenet.prototxt:23: layer 'conv1' (Convolution)``.
        found: the value met.
        expected: what would have been right.
        remedy: what to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        found: Any = None,
        expected: Any = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.found = found
        self.expected = expected
        self.remedy = remedy

    def at(self, where: str) -> CafxError:
        """This error with its place named; a place already known is kept behind the wider one."""
        head, _, rest = (self.where or "").partition(": ")
        if self.where is None or where.endswith(self.where):
            self.where = where
        elif where.endswith(head):
            self.where = f"{where}: {rest}"
        elif where not in self.where:
            self.where = f"{where}: {self.where}"
        return self

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        seen = [f"found {self.found}"] if self.found is not None else []
        seen += [f"expected {self.expected}"] if self.expected is not None else []
        text += f" ({', '.join(seen)})" if seen else ""
        return f"{text}; {self.remedy}" if self.remedy else text


class UnknownNameError(CafxError):
    """A name nothing answers to: a layer type, a field, a filler, a policy."""


def near_misses(name: str, known: Iterable[str]) -> list[str]:
    """Up to three known names that a person may have meant by ``name``."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=3, cutoff=0.6)
    return [by_lower[match] for match in close]


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """``did you mean 'x' or 'y'?``, or None where nothing is close."""
    close = near_misses(name, known)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else None
