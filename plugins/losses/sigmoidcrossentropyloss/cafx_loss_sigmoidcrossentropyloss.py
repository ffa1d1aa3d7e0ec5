"""SigmoidCrossEntropyLoss: cross entropy of a sigmoid, for targets between 0 and 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, LossLayer, LossParameter
from cafx_lib_labelled import Normaliser

if TYPE_CHECKING:
    from cafx.conformance import Case


class SigmoidCrossEntropyLoss(LossLayer):
    """Sigmoid cross entropy: L = −Σ (t log p + (1 − t) log (1 − p)) / normaliser, p = 1/(1 + e⁻ˣ).

    Bottoms: scores x, N×…; targets t between 0 and 1, N×… with as many values. Top: L, a scalar. Targets
    whose integer part is ``loss_param.ignore_label`` are ignored. The normaliser is N unless ``loss_param``
    sets another. Gradient: dx = dL · (p − t) / normaliser, 0 where t is ignored.

    Raises:
        CafxError: the bottoms differ in batch size or number of values.

    Source: Caffe's layer catalogue, Sigmoid cross entropy loss.
    """

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the ignored label and the normalisation."""
        loss = self.read(LossParameter)
        self.ignored: int | None = loss.ignore_label
        self.normaliser = Normaliser(loss, LossParameter.NormalizationMode.BATCH_SIZE)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top is a scalar."""
        super().reshape(bottom, top)
        if bottom[0].count() != bottom[1].count():
            found = f"{bottom[0].count()} and {bottom[1].count()}"
            raise self.error("scores and targets differ in number", found=found, expected="equal numbers")

    def _valid(self, targets: Any) -> Any:
        """Mask of the targets that count; None for all."""
        return None if self.ignored is None else self.xp.trunc(targets) != self.ignored

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """L = Σ (max(x, 0) − x · t + log(1 + e^−|x|)) / normaliser, which does not overflow."""
        x = bottom[0].data
        t = bottom[1].data.reshape(x.shape)
        cost = self.xp.log1p(self.xp.exp(-abs(x)))
        cost += self.xp.maximum(x, 0) - x * t
        valid = self._valid(t)
        if valid is not None:
            cost *= valid
        count = None if valid is None else valid.sum()
        self.divisor = self.normaliser(x.shape[0], bottom[0].count(1), count)
        top[0].mutable_data[...] = cost.sum() / self.divisor

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dL · (p − t) / normaliser."""
        self.refuse_gradients(propagate_down)
        if propagate_down[0]:
            x, dx = bottom[0].data, bottom[0].mutable_diff
            t = bottom[1].data.reshape(x.shape)
            self.xp.multiply(self.xp.tanh(x * 0.5), 0.5, out=dx)  # σ(x) − ½ without overflow
            dx += 0.5
            dx -= t
            dx *= self.loss_weight(top) / self.divisor
            valid = self._valid(t)
            if valid is not None:
                dx *= valid

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Every normalisation, hard and soft targets, ignored targets and large scores."""
        from cafx.conformance import Case, labels, normal, uniform, values

        yield Case("rows", (4, 5), labels((4, 5), 2))
        yield Case("images", (2, 3, 2, 2), uniform((2, 3, 2, 2), 0, 1), layer={"loss_weight": [0.5]})
        for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
            loss = {"normalization": mode, "ignore_label": 255}
            targets = values([[0.0, 255.0, 1.0, 0.5], [255.0, 255.0, 1.0, 0.0]])
            yield Case(mode.lower(), (2, 4), targets, layer={"loss_param": loss})
        for normalize in (True, False):
            loss = {"normalize": normalize, "ignore_label": -1}
            targets = values([0.0, 1.0, -1.0])
            yield Case(f"normalize_{normalize}".lower(), (3,), targets, layer={"loss_param": loss})
        yield Case("large", normal((2, 6), 200.0), labels((2, 6), 2))
