"""Errors that a user can fix, and suggestions for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class CafxError(RuntimeError):
    """An error that a user can fix: where it is, what is wrong, and the remedy.

    It is a RuntimeError, which scripts written for pycaffe catch.

    Args:
        message: what is wrong, in one clause.
        where: ``file:line`` or the layer, e.g. ``lenet.prototxt:23: layer 'conv1' (Convolution)``.
        found: the offending value.
        expected: what would have been valid.
        remedy: what to do about it.

    Example:
        >>> print(CafxError("batch_size is out of range", where="net.prototxt:3", found=0, expected="at least 1"))
        net.prototxt:3: batch_size is out of range: got 0, expected at least 1
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
        """Add an outer location to this error and return it; a known location becomes the inner part.

        Example:
            >>> CafxError("wrong", where="mean.binaryproto").at("layer 'data' (Data)").where
            "layer 'data' (Data): mean.binaryproto"
        """
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
        details = [f"got {self.found}"] if self.found is not None else []
        details += [f"expected {self.expected}"] if self.expected is not None else []
        text += f": {', '.join(details)}" if details else ""
        return f"{text}; {self.remedy}" if self.remedy else text


SHORT = 5
"""Letters below which a name may differ in a larger share of them."""


class UnknownNameError(CafxError):
    """An unknown name: a layer type, a field, a filler, a policy."""


def near_misses(name: str, known: Iterable[str]) -> list[str]:
    """Up to three of the ``known`` names that are similar to ``name``, most similar first.

    Example:
        >>> near_misses("relu6", ["ReLU", "PReLU", "Softmax"])
        ['ReLU', 'PReLU']
    """
    by_stem = {_stem(candidate): candidate for candidate in known}
    if _stem(name) in by_stem:
        return [by_stem[_stem(name)]]
    cutoff = 0.65 if len(_stem(name)) < SHORT else 0.75
    close = difflib.get_close_matches(_stem(name), list(by_stem), n=3, cutoff=cutoff)
    return [by_stem[match] for match in close]


def _stem(name: str) -> str:
    """What tells names apart: not their case, nor the ending that all options of layers have."""
    return name.lower().removesuffix("_param")


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A suggestion of similar ``known`` names, or None if none is similar.

    Example:
        >>> did_you_mean("kernal_size", ["kernel_size", "stride"])
        "did you mean 'kernel_size'?"
    """
    close = near_misses(name, known)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else None
