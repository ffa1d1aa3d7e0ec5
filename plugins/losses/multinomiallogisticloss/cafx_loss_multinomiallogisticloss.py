"""MultinomialLogisticLoss: negative log-likelihood of predicted probabilities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, LossLayer
from cafx_lib_labelled import LabelledLayer

if TYPE_CHECKING:
    from cafx.conformance import Case

SMALLEST = 1e-20
"""Lower bound of probabilities, which keeps the loss finite."""


class MultinomialLogisticLoss(LabelledLayer, LossLayer):
    """Multinomial logistic loss: L = −Σ log p[label] / N.

    Bottoms: probabilities p, N×K (further axes count as classes); N integer labels. Top: L, a scalar.
    Gradient: dp = −dL / (N · p) at the label, else 0. If p is a softmax, SoftmaxWithLoss computes the same
    loss with a stable gradient.

    Raises:
        CafxError: there is not one label per item, or a label is not a class index.

    Source: Caffe's layer catalogue, Multinomial logistic loss.
    """

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top is a scalar."""
        LossLayer.reshape(self, bottom, top)
        self.set_class_axes(bottom, 1, bottom[0].num_axes)
        self.items = max(1, self.outer)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """L = −Σ log p[label] / N."""
        p = self.scores(bottom[0].data)[self.at(self.labels(bottom)[0])]
        top[0].mutable_data[...] = -self.xp.log(self.xp.maximum(p, SMALLEST)).sum() / self.items

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dp = −dL / (N · p) at the label."""
        self.refuse_gradients(propagate_down)
        if propagate_down[0]:
            labelled = self.at(self.labels(bottom)[0])
            p = self.xp.maximum(self.scores(bottom[0].data)[labelled], SMALLEST)
            dp = self.scores(bottom[0].mutable_diff)
            dp[...] = 0
            dp[labelled] = -self.loss_weight(top) / self.items / p

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Probabilities well above 0; two to four axes."""
        from cafx.conformance import Case, labels, uniform

        yield Case("rows", uniform((4, 5), 0.1, 0.9), labels((4,), 5))
        yield Case("images", uniform((3, 4, 1, 1), 0.1, 0.9), labels((3, 1, 1, 1), 4))
        weight = {"loss_weight": [3.0]}
        yield Case("weighted", uniform((2, 3, 2), 0.1, 0.9), labels((2,), 6), layer=weight)
