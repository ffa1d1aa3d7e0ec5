"""Arguments of pycaffe's functions, checked before anything is done with them."""

from __future__ import annotations

import math
import numbers as abstract
from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError

Array = npt.NDArray[Any]
NUMERIC = "biuf"
"""Kinds of NumPy's types that hold real numbers."""


class ArgumentError(CafxError, ValueError, TypeError):
    """An argument is of a wrong type or value; it is also the error that NumPy raises in such a case."""


class UnknownBlobError(CafxError, KeyError):
    """A net has no blob of this name."""


def numbers(values: Any, where: str) -> Array:
    """An array of real numbers.

    Args:
        values: the array, or what NumPy makes one of.
        where: what it is for.

    Raises:
        ArgumentError: it holds something else, or its rows differ in length.
    """
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ArgumentError("is not an array", where=where, found=type(values).__name__, remedy=str(error)) from None
    if array.dtype.kind == "O" and array.size and all(isinstance(each, abstract.Real) for each in array.flat):
        array = array.astype(np.float64)
    if array.dtype.kind not in NUMERIC:
        found = type(values).__name__ if array.ndim == 0 else f"an array of {array.dtype}"
        raise ArgumentError("does not hold real numbers", where=where, found=found, expected="an array of numbers")
    return array


def assign(target: Array, values: Array, where: str) -> None:
    """Copy values into an array, with NumPy's broadcasting.

    Raises:
        ArgumentError: the shapes do not match.
    """
    try:
        target[...] = values
    except ValueError:
        raise ArgumentError(
            "the shape does not match", where=where, found=values.shape, expected=target.shape
        ) from None


def shaped(values: Array, shape: Sequence[int], what: str) -> Array:
    """An array in another shape.

    Raises:
        ArgumentError: the shape is not that of as many values.
    """
    if min(shape, default=0) < 0 or math.prod(shape) != values.size:
        raise ArgumentError(f"{what} has another number of values than its shape", found=values.size, expected=shape)
    return values.reshape(shape)


def path(value: Any, what: str) -> Path:
    """A path.

    Raises:
        ArgumentError: the argument is not one.
    """
    if isinstance(value, (str, PathLike)):
        text = fspath(value)
        if isinstance(text, str) and text and "\0" not in text:
            return Path(text)
    raise ArgumentError(f"is not the path of {what}", found=_shown(value), expected="a path as text")


def lengths(shape: Iterable[Any], where: str) -> tuple[int, ...]:
    """The lengths of axes.

    Raises:
        ArgumentError: one is not a whole number of at least 0.
    """
    given = tuple(shape)
    if not all(isinstance(each, abstract.Real) and each >= 0 and _is_whole(each) for each in given):
        raise ArgumentError("is not a shape", where=where, found=given, expected="whole numbers of at least 0")
    return tuple(int(each) for each in given)


def whole(value: Any, what: str) -> int:
    """A whole number.

    Raises:
        ArgumentError: it is something else.
    """
    if not isinstance(value, abstract.Integral):
        raise ArgumentError(f"{what} is not a whole number", found=_shown(value))
    return int(value)


def stages(value: Any) -> tuple[str, ...]:
    """The stages of a net's state: a list of texts, or nothing.

    Raises:
        ArgumentError: it is something else.
    """
    names = () if value is None else value
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ArgumentError("stages is not a list of names", found=_shown(value), expected="such as ['deploy']")
    names = tuple(names)
    if not all(isinstance(name, str) for name in names):
        raise ArgumentError("stages is not a list of names", found=names, expected="such as ['deploy']")
    return names


def one_of(value: Any, known: Iterable[Any], what: str) -> Any:
    """The value, which has to be among the known ones.

    Raises:
        ArgumentError: it is not.
    """
    choices = list(known)
    if not isinstance(value, (str, int)) or value not in choices:
        raise ArgumentError(f"unknown {what}", found=_shown(value), expected="one of " + ", ".join(map(str, choices)))
    return value


def known_blobs(names: Iterable[Any], blobs: Iterable[str]) -> None:
    """Check that a net has blobs of these names.

    Raises:
        UnknownBlobError: it lacks one.
    """
    known = list(blobs)
    for name in names:
        if name not in known:
            raise UnknownBlobError("the net has no such blob", found=_shown(name), expected=", ".join(known))


def _is_whole(number: Any) -> bool:
    return isinstance(number, abstract.Integral) or float(number).is_integer()


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, (str, bytes, int, float)) or value is None else type(value).__name__
