"""SoftmaxWithLoss: multinomial logistic loss of a softmax."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, LossParameter
from cafx_lib_softmax import SoftmaxLoss, SoftmaxParameter

if TYPE_CHECKING:
    from cafx.conformance import Case

SMALLEST = 1.17549435e-38
"""Lower bound of probabilities, the smallest normal float32: a position's loss is at most 87.34."""


class SoftmaxWithLoss(SoftmaxLoss):
    """Multinomial logistic loss of a softmax: L = −Σ log p[label] / normaliser, p = softmax(x).

    Bottoms: scores x of any shape, with the classes along ``softmax_param.axis``; one integer label per
    remaining position. Tops: L, a scalar; optionally p, of the shape of x, whose own gradient is ignored.
    ``loss_param`` sets the ignored label and the normaliser; in SegNet's dialect also a weight for each class,
    by which the loss and the gradient of a position with that label are multiplied.
    Gradient: dx = dL · (p − 1 at the label) / normaliser, 0 where the label is ignored.

    Raises:
        CafxError: the axis does not exist, there is not one label per position, a label is not a class
            index, or there is not one weight per class.

    Source: Bridle, "Probabilistic Interpretation of Feedforward Classification Network Outputs", 1990;
    Caffe's layer catalogue.

    Read by engines:
        outer: number of positions before the axis of the classes.
        inner: number of positions after it.
        classes: number of classes.
        ignored: the label that does not count; None if all do.
        normaliser: the divisor of the loss.
        class_weights: the weight of each class, (classes,); None without weights.
    """

    Parameter = SoftmaxParameter
    options: SoftmaxParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the ignored label, the normalisation and the weights of the classes."""
        super().setup(bottom, top)
        loss: Any = self.read(LossParameter)  # with a dialect's fields, if it is installed
        weighted = getattr(loss, "weight_by_label_freqs", False)
        weights = loss.class_weighting if weighted else ()
        self.class_weights = self.xp.asarray(weights, dtype=self.context.dtype) if weighted else None
        classes = bottom[0].shape[self.axis(bottom[0], self.options.axis)]
        if weighted and len(weights) != classes:
            raise self.error("does not have one class_weighting per class", found=len(weights), expected=classes)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """L = −Σ log p[label] / normaliser."""
        p = self.predict(bottom)
        labels, valid = self.labels(bottom, self.ignored)
        likelihood = self.xp.log(self.xp.maximum(p[self.at(labels)], SMALLEST))
        if valid is not None:
            likelihood *= valid
        if self.class_weights is not None:
            likelihood *= self.class_weights[labels]
        self.write_tops(top, likelihood, valid)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dL · (p − 1 at the label) / normaliser."""
        self.refuse_gradients(propagate_down)
        if propagate_down[0]:
            labels, valid = self.labels(bottom, self.ignored)
            dx = self.scores(bottom[0].mutable_diff)
            dx[...] = self.scores(self.probabilities.data)
            dx[self.at(labels)] -= 1
            dx *= self.loss_weight(top) / self.divisor
            if valid is not None:
                dx *= valid[:, None, :]
            if self.class_weights is not None:
                dx *= self.class_weights[labels][:, None, :]

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Every normalisation, with and without an ignored label; several axes; large scores."""
        from cafx.conformance import Case, labels, normal, values

        yield Case("rows", (5, 4), labels((5,), 4))
        yield Case("images", (2, 3, 4, 5), labels((2, 4, 5), 3), options={"engine": "CAFFE"})
        yield Case("last_axis", (3, 2, 5), labels((3, 2), 5), options={"axis": -1})
        yield Case("labels_4d", (3, 4, 2, 2), labels((3, 1, 2, 2), 4), layer={"loss_weight": [2.5]})
        for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
            loss = {"normalization": mode, "ignore_label": 1}
            yield Case(mode.lower(), (2, 3, 5), labels((2, 5), 3), layer={"loss_param": loss})
        for normalize in (True, False):
            loss = {"normalize": normalize, "ignore_label": 255}
            targets = values([[0, 255, 2], [1, 1, 255]])
            yield Case(f"normalize_{normalize}".lower(), (2, 3, 3), targets, layer={"loss_param": loss})
        yield Case("probabilities", (4, 3), labels((4,), 3), tops=2, layer={"loss_weight": [1.0, 0.0]})
        yield Case("large", normal((3, 4), 2.0, 500.0), labels((3,), 4))
