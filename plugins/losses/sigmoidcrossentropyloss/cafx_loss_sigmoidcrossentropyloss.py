"""SigmoidCrossEntropyLoss: sigmoid and cross entropy in one, for targets between 0 and 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, LossLayer, LossParameter
from cafx_lib_labelled import Normaliser

if TYPE_CHECKING:
    from cafx.conformance import Case


class SigmoidCrossEntropyLoss(LossLayer):
    """Sigmoid cross entropy: L = −Σ (t log p + (1 − t) log (1 − p)) / normaliser, p = 1/(1 + e⁻ˣ).

    Bottoms: scores x, N×…; targets t between 0 and 1, as many. Top: L, a scalar. A target whose whole
    part is ``loss_param.ignore_label`` does not count. The normaliser is N unless ``loss_param``
    says otherwise. Gradient: dx = dL · (p − t) / normaliser, 0 where t does not count.

    Raises:
        CafxError: the bottoms differ in batch size or number of values.

    Source: Caffe's layer catalogue, Sigmoid cross entropy loss.
    """

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read which targets count, and the normalisation."""
        loss = self.read(LossParameter)
        self.ignored: int | None = loss.ignore_label
        self.normaliser = Normaliser(loss, LossParameter.NormalizationMode.BATCH_SIZE)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top is a scalar; there are as many targets as scores."""
        super().reshape(bottom, top)
        if bottom[0].count() != bottom[1].count():
            raise self.error(
                "scores and targets differ in number",
                found=f"{bottom[0].count()} and {bottom[1].count()}", expected="as many",
            )  # fmt: skip

    def _counted(self, targets: Any) -> Any:
        """Where targets count; None for everywhere."""
        return None if self.ignored is None else self.xp.trunc(targets) != self.ignored

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """L = Σ (max(x, 0) − x · t + log(1 + e^−|x|)) / normaliser, which never overflows."""
        x = bottom[0].data
        t = bottom[1].data.reshape(x.shape)
        cost = self.xp.log1p(self.xp.exp(-abs(x)))
        cost += self.xp.maximum(x, 0) - x * t
        counted = self._counted(t)
        if counted is not None:
            cost *= counted
        valid = None if counted is None else int(counted.sum())
        self.divisor = self.normaliser(x.shape[0], bottom[0].count(1), valid)
        top[0].mutable_data[...] = cost.sum() / self.divisor

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dL · (p − t) / normaliser."""
        self.refuse_gradients(propagate_down)
        if propagate_down[0]:
            x, dx = bottom[0].data, bottom[0].mutable_diff
            t = bottom[1].data.reshape(x.shape)
            self.xp.multiply(self.xp.tanh(x * 0.5), 0.5, out=dx)  # sigmoid − ½, without overflow
            dx += 0.5
            dx -= t
            dx *= self.loss_weight(top) / self.divisor
            counted = self._counted(t)
            if counted is not None:
                dx *= counted

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Every normalisation, hard and soft targets, some that do not count, and large scores."""
        from cafx.conformance import Case, labels, normal, uniform, values

        yield Case("rows", (4, 5), labels((4, 5), 2))
        yield Case("images", (2, 3, 2, 2), uniform((2, 3, 2, 2), 0, 1), layer={"loss_weight": [0.5]})
        for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
            loss = {"normalization": mode, "ignore_label": 255}
            seen = values([[0.0, 255.0, 1.0, 0.5], [255.0, 255.0, 1.0, 0.0]])
            yield Case(mode.lower(), (2, 4), seen, layer={"loss_param": loss})
        for stated in (True, False):
            loss = {"normalize": stated, "ignore_label": -1}
            seen = values([0.0, 1.0, -1.0])
            yield Case(f"normalize_{stated}".lower(), (3,), seen, layer={"loss_param": loss})
        yield Case("large", normal((2, 6), 200.0), labels((2, 6), 2))
