"""SoftmaxWithLoss: softmax and the multinomial logistic loss in one; and the base of such losses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, LossLayer, LossParameter
from cafx_layer_softmax import SoftmaxParameter, softmax
from cafx_lib_labelled import LabelledLayer, Normaliser

if TYPE_CHECKING:
    from cafx.conformance import Case

SMALLEST = 1.17549435e-38
"""Probabilities below the smallest normal float32 count as that: a loss is at most 87.34."""


class SoftmaxLoss(LabelledLayer, LossLayer):
    """The base of losses of p = softmax(x): L = −Σ likelihood / normaliser.

    Bottoms: scores x of any shape, with the classes along option ``axis``; labels, one whole number
    for each other position. Tops: L, a scalar; optionally p, of the shape of x, whose own gradient is
    ignored. ``loss_param`` says which label does not count and what the normaliser is.
    """

    tops = (1, 2)
    constant_tops = (1,)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read which labels count, and the normalisation."""
        loss = self.read(LossParameter)
        self.ignored: int | None = loss.ignore_label
        self.normaliser = Normaliser(loss)
        self.probabilities = self.context.blob((), f"{self.name}.probabilities")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The loss is a scalar, the probabilities have the scores' shape."""
        super().reshape(bottom, top)
        self.line_up(bottom, self.axis(bottom[0], self.options.axis))
        for blob in (self.probabilities, *top[1:]):
            blob.reshape(*bottom[0].shape)

    def predict(self, bottom: list[Blob]) -> Any:
        """p as outer×classes×inner; kept for backward."""
        p = self.scores(self.probabilities.mutable_data)
        softmax(self.xp, self.scores(bottom[0].data), p, axis=1)
        return p

    def write_tops(self, top: list[Blob], likelihood: Any, counted: Any) -> None:
        """L = −Σ likelihood / normaliser, given where labels count (None: everywhere); and p."""
        valid = None if counted is None else int(counted.sum())
        self.divisor = self.normaliser(self.outer, self.inner, valid)
        top[0].mutable_data[...] = -likelihood.sum() / self.divisor
        if len(top) > 1:
            top[1].mutable_data[...] = self.probabilities.data


class SoftmaxWithLoss(SoftmaxLoss):
    """Multinomial logistic loss of a softmax: L = −Σ log p[label] / normaliser, p = softmax(x).

    Bottoms: scores x of any shape, with the classes along ``softmax_param.axis``; labels, one whole
    number for each other position. Tops: L, a scalar; optionally p, of the shape of x, whose own
    gradient is ignored. ``loss_param`` says which label does not count and what the normaliser is.
    Gradient: dx = dL · (p − 1 at the label) / normaliser, 0 where the label does not count.

    Raises:
        CafxError: no such axis, another number of labels than positions, or a label that is no class.

    Source: Bridle, "Probabilistic Interpretation of Feedforward Classification Network Outputs", 1990;
    Caffe's layer catalogue.
    """

    Parameter = SoftmaxParameter
    options: SoftmaxParameter

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """L = −Σ log p[label] / normaliser."""
        p = self.predict(bottom)
        labels, counted = self.labels(bottom, self.ignored)
        likelihood = self.xp.log(self.xp.maximum(p[self.at(labels)], SMALLEST))
        if counted is not None:
            likelihood *= counted
        self.write_tops(top, likelihood, counted)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dL · (p − 1 at the label) / normaliser."""
        self.refuse_gradients(propagate_down)
        if propagate_down[0]:
            labels, counted = self.labels(bottom, self.ignored)
            dx = self.scores(bottom[0].mutable_diff)
            dx[...] = self.scores(self.probabilities.data)
            dx[self.at(labels)] -= 1
            dx *= self.loss_weight(top) / self.divisor
            if counted is not None:
                dx *= counted[:, None, :]

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Every normalisation, with and without a label that does not count, along several axes."""
        from cafx.conformance import Case, labels, normal, values

        yield Case("rows", (5, 4), labels((5,), 4))
        yield Case("images", (2, 3, 4, 5), labels((2, 4, 5), 3), options={"engine": "CAFFE"})
        yield Case("last_axis", (3, 2, 5), labels((3, 2), 5), options={"axis": -1})
        yield Case("labels_4d", (3, 4, 2, 2), labels((3, 1, 2, 2), 4), layer={"loss_weight": [2.5]})
        for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
            loss = {"normalization": mode, "ignore_label": 1}
            yield Case(mode.lower(), (2, 3, 5), labels((2, 5), 3), layer={"loss_param": loss})
        for stated in (True, False):
            loss = {"normalize": stated, "ignore_label": 255}
            seen = values([[0, 255, 2], [1, 1, 255]])
            yield Case(f"normalize_{stated}".lower(), (2, 3, 3), seen, layer={"loss_param": loss})
        yield Case("probabilities", (4, 3), labels((4,), 3), tops=2, layer={"loss_weight": [1.0, 0.0]})
        yield Case("large", normal((3, 4), 2.0, 500.0), labels((3,), 4))
