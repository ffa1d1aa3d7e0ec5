"""Dropout: values zeroed at random while training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, Message, NeuronLayer, Phase, message, option, within

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("dropout_param", 108)
class DropoutParameter(Message):
    """Options of Dropout."""

    dropout_ratio: float = option(1, "float", 0.5, doc="probability that a value is zeroed", check=within(0, 1))


class Dropout(NeuronLayer):
    """TRAIN: y = x · m / (1 − ratio), each m 0 with probability ratio and else 1; TEST: y = x.

    The factor keeps the mean of y that of x, so that nothing need be scaled in TEST phase.
    Bottom: any shape. Top: the same shape; may be the bottom itself.
    Gradient: dx = dy · m / (1 − ratio) with the mask of the last forward; dx = dy in TEST phase.
    A ratio of 1 makes everything 0.

    Raises:
        CafxError: a ratio below 0 or above 1.

    Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
    2014.
    """

    Parameter = DropoutParameter
    options: DropoutParameter
    deterministic = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Derive the factor of the values that stay."""
        ratio = self.options.dropout_ratio
        self.scale = 1 / (1 - ratio) if ratio < 1 else 0.0

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Draw a mask and apply it; in TEST phase copy."""
        x, y = bottom[0].data, top[0].mutable_data
        if self.phase is Phase.TEST:
            y[...] = x
            return
        drawn = self.rng.random(bottom[0].shape, np.float32)
        self.kept = self.xp.asarray(drawn >= self.options.dropout_ratio)
        self._apply(x, y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The same for the gradient, with the same mask."""
        if not propagate_down[0]:
            return
        dy, dx = top[0].diff, bottom[0].mutable_diff
        if self.phase is Phase.TEST:
            dx[...] = dy
        else:
            self._apply(dy, dx)

    def _apply(self, values: Any, result: Any) -> None:
        self.xp.multiply(values, self.kept, out=result)
        result *= self.scale

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both phases, and every ratio from none to all."""
        from cafx.conformance import Case

        yield Case("plain", (2, 3, 4, 5))
        yield Case("some", (4, 7), options={"dropout_ratio": 0.2})
        yield Case("none", (5,), options={"dropout_ratio": 0.0})
        yield Case("all", (3, 2), options={"dropout_ratio": 1.0})
        yield Case("tested", (2, 3, 4), options={"dropout_ratio": 0.7}, phase=Phase.TEST)
