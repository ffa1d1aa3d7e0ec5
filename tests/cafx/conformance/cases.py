"""Conformance cases: the inputs and options that the suite tries a layer on.

A layer's ``cases`` yields them:

    @classmethod
    def cases(cls):
        yield Case("slope", (2, 3, 4, 5), options={"negative_slope": 0.1})
        yield Case("scored", (4, 10), labels((4,), 10))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel.schema import Phase

Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator, Shape], npt.NDArray[Any]]


@attrs.frozen
class Bottom:
    """One bottom of a case: its shape and the function that draws its values."""

    shape: Shape
    draw: Draw


def normal(shape: Shape, scale: float = 1.0, shift: float = 0.0) -> Bottom:
    """Normally distributed values with standard deviation ``scale`` and mean ``shift``, as for a bare shape."""
    return Bottom(shape, lambda rng, size: rng.standard_normal(size) * scale + shift)


def uniform(shape: Shape, low: float, high: float) -> Bottom:
    """Values distributed uniformly from ``low`` to ``high``."""
    return Bottom(shape, lambda rng, size: rng.uniform(low, high, size))


def labels(shape: Shape, classes: int) -> Bottom:
    """Whole numbers from 0 to ``classes`` - 1."""
    return Bottom(shape, lambda rng, size: rng.integers(0, classes, size).astype(np.float64))


def distinct(shape: Shape, step: float = 0.1) -> Bottom:
    """Values at least ``step`` apart, for layers that are not differentiable at ties, such as maxima."""

    def draw(rng: np.random.Generator, size: Shape) -> npt.NDArray[Any]:
        count = int(np.prod(size, dtype=np.int64))
        return (rng.permutation(count) - count / 2).reshape(size) * step

    return Bottom(shape, draw)


def values(array: npt.ArrayLike) -> Bottom:
    """These values, repeated if the shape has more."""
    fixed = np.asarray(array, np.float64)
    return Bottom(fixed.shape, lambda rng, size: np.resize(fixed, size))


def _bottoms(given: Any) -> tuple[Bottom, ...]:
    return tuple(each if isinstance(each, Bottom) else normal(tuple(each)) for each in given)


@attrs.frozen(init=False)
class Case:
    """One layer with its options and bottoms.

    Args:
        name: a short name, unique among the layer's cases.
        bottoms: shapes, or `Bottom`s if values matter.
        options: the layer's options, as in the DSL.
        layer: other fields of LayerParameter, such as ``param`` or ``loss_weight``.
        tops: the number of tops.
        phase: TRAIN or TEST.
        tolerance: relative tolerance of the numeric gradient.
        params: functions that draw parameter blobs, by index, in place of the fillers.
        skip: the ids of checks that this case fails, with the reason for each.
    """

    name: str
    bottoms: tuple[Bottom, ...]
    options: Mapping[str, Any]
    layer: Mapping[str, Any]
    tops: int
    phase: Phase
    tolerance: float
    params: Mapping[int, Draw]
    skip: Mapping[str, str]

    def __init__(
        self,
        name: str,
        *bottoms: Bottom | Shape,
        options: Mapping[str, Any] | None = None,
        layer: Mapping[str, Any] | None = None,
        tops: int = 1,
        phase: Phase = Phase.TRAIN,
        tolerance: float = 1e-3,
        params: Mapping[int, Draw] | None = None,
        skip: Mapping[str, str] | None = None,
    ) -> None:
        self.__attrs_init__(
            name,
            _bottoms(bottoms),
            dict(options or {}),
            dict(layer or {}),
            tops,
            phase,
            tolerance,
            dict(params or {}),
            dict(skip or {}),
        )

    def __str__(self) -> str:
        return self.name
