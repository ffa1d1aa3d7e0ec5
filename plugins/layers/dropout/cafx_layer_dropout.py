"""Dropout: values zeroed at random during training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Message, NeuronLayer, Phase, message, option, within

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("dropout_param", 108)
class DropoutParameter(Message):
    """Options of Dropout."""

    dropout_ratio: float = option(1, "float", 0.5, doc="probability of zeroing a value", check=within(0, 1))


class Dropout(NeuronLayer):
    """Dropout: y = x · m / (1 − ratio), with each m 0 with probability ratio, else 1; y = x in TEST phase.

    The factor preserves the expectation of x. With ratio 1, y is 0. A dialect's ``scale_train: false`` leaves the
    factor out and multiplies by 1 − ratio in TEST phase; ``sample_weights_test: true`` zeroes values there too.
    Bottom: any shape. Top: the same shape; may be computed in place.
    Gradient: dx = dy · m / (1 − ratio), with the mask of the last forward pass; dx = dy in TEST phase.

    Raises:
        CafxError: the ratio is below 0 or above 1.

    Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
    2014.

    Read by engines:
        scale: the factor of the kept values.
    """

    Parameter = DropoutParameter
    options: DropoutParameter
    deterministic = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the factor of the kept values."""
        ratio, sampled = self.options.dropout_ratio, getattr(self.options, "sample_weights_test", False)
        self.drops = self.phase is Phase.TRAIN or sampled
        self.scale = 1 / (1 - ratio) if ratio < 1 else 0.0
        scales_later = not getattr(self.options, "scale_train", True)
        if scales_later:
            self.scale = 1.0 if self.drops else 1 - ratio
        self.as_written = "scale_train or sample_weights_test" if scales_later or sampled else ""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = x · mask / (1 − ratio); in TEST phase y = x."""
        x, y = bottom[0].data, top[0].mutable_data
        if not self.drops:
            self.xp.multiply(x, self.scale if self.as_written else 1, out=y)
            return
        self.mask = self.uniform(bottom[0].shape) >= self.options.dropout_ratio
        self._apply_mask(x, y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy · mask / (1 − ratio); in TEST phase dx = dy."""
        if not propagate_down[0]:
            return
        dy, dx = top[0].diff, bottom[0].mutable_diff
        if not self.drops:
            self.xp.multiply(dy, self.scale if self.as_written else 1, out=dx)
        else:
            self._apply_mask(dy, dx)

    def _apply_mask(self, values: Any, result: Any) -> None:
        self.xp.multiply(values, self.mask, out=result)
        result *= self.scale

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both phases; ratios from 0 to 1."""
        from cafx.conformance import Case

        yield Case("plain", (2, 3, 4, 5))
        yield Case("some", (4, 7), options={"dropout_ratio": 0.2})
        yield Case("none", (5,), options={"dropout_ratio": 0.0})
        yield Case("all", (3, 2), options={"dropout_ratio": 1.0})
        yield Case("tested", (2, 3, 4), options={"dropout_ratio": 0.7}, phase=Phase.TEST)
