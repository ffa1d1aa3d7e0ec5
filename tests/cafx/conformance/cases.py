"""Conformance cases: how a layer's author says on what the shared suite should try it.

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
    """One bottom of a case: its shape, and how its values are drawn."""

    shape: Shape
    draw: Draw


def normal(shape: Shape, scale: float = 1.0, shift: float = 0.0) -> Bottom:
    """Values of a normal distribution: what a bare shape in a Case stands for."""
    return Bottom(shape, lambda rng, size: rng.standard_normal(size) * scale + shift)


def uniform(shape: Shape, low: float, high: float) -> Bottom:
    """Values between ``low`` and ``high``."""
    return Bottom(shape, lambda rng, size: rng.uniform(low, high, size))


def labels(shape: Shape, classes: int) -> Bottom:
    """Whole numbers from 0 to before ``classes``."""
    return Bottom(shape, lambda rng, size: rng.integers(0, classes, size).astype(np.float64))


def distinct(shape: Shape, step: float = 0.1) -> Bottom:
    """Values no two of which are closer than ``step``: for maxima and sorting, where ties jump."""

    def draw(rng: np.random.Generator, size: Shape) -> npt.NDArray[Any]:
        count = int(np.prod(size, dtype=np.int64))
        return (rng.permutation(count) - count / 2).reshape(size) * step

    return Bottom(shape, draw)


def values(array: npt.ArrayLike) -> Bottom:
    """Just these values (as far as they go, over again where more are wanted)."""
    fixed = np.asarray(array, np.float64)
    return Bottom(fixed.shape, lambda rng, size: np.resize(fixed, size))


def _bottoms(given: Any) -> tuple[Bottom, ...]:
    return tuple(each if isinstance(each, Bottom) else normal(tuple(each)) for each in given)


@attrs.frozen(init=False)
class Case:
    """A layer alone with bottoms of given shapes.

    Args:
        name: short, unique among the layer's cases.
        bottoms: shapes, or `Bottom`s where values matter.
        options: the layer's options, as its DSL function takes them.
        layer: fields of LayerParameter itself, such as ``param`` or ``loss_weight``.
        tops: how many.
        phase: TRAIN or TEST.
        tolerance: relative tolerance of the numeric gradient, where 1e-3 is too strict.
        params: draws for parameter blobs by index, where the fillers' values would prove little.
        skip: checklist ids that do not hold for this case, with the reason for each.
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
