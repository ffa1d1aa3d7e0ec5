"""Several resize_params, of which MobileNet-YOLO's fork draws one for each batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cafx_lib_annotated.transform import AnnotatedTransformer
from cafx_lib_feed.transform import Failure

TOLERANCE = 0.01
"""Largest error of the sum of the probabilities, as in the fork."""


class Policies:
    """The transformations that a transform_param describes: one, or one for each of its resize_params.

    With several resize_params, one of them is drawn for each batch with its ``prob``, and applied to all images.

    Args:
        options: the TransformationParameter.
        make: the transformation of a transform_param with one resize_param at most.
        error: creates an error located at the layer.

    Attributes:
        steps: the transformations.

    Raises:
        CafxError: the probabilities do not add up to 1.
    """

    def __init__(self, options: Any, make: Callable[[Any], AnnotatedTransformer], error: Failure) -> None:
        given = options.resize_param
        self._ends: Any = None
        if not isinstance(given, Sequence):
            self.steps = [make(options)]
            return
        self._ends = np.cumsum([each.prob for each in given])
        if len(given) > 1 and abs(self._ends[-1] - 1) > TOLERANCE:
            found = f"a sum of {self._ends[-1]:g}"
            raise error("the probabilities of the resize_params do not add up to 1", found=found, expected=1)
        others = {name: getattr(options, name) for name in options.__options__ if _given(options, name)}
        self.steps = [make(type(options)(**others, resize_param=_always(each))) for each in given]

    @property
    def several(self) -> bool:
        """Whether batches differ in how they are resized."""
        return len(self.steps) > 1

    def draw(self, rng: np.random.Generator) -> AnnotatedTransformer:
        """The transformation of one batch."""
        if not self.several:
            return self.steps[0]
        drawn = rng.random() * self._ends[-1]
        return self.steps[int(np.searchsorted(self._ends, drawn, side="right"))]


def _given(options: Any, name: str) -> bool:
    """Whether an option other than resize_param is set."""
    return "resize_param" not in name and options.has(name)


def _always(policy: Any) -> Any:
    """A resize_param without its probability."""
    return type(policy)(
        **{name: getattr(policy, name) for name in policy.__options__ if policy.has(name) and name != "prob"}
    )
