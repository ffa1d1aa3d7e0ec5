"""InfogainLoss: a multinomial logistic loss in which a matrix says what each mistake is worth."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, Message, message, option
from cafx_format_binaryproto import read_binaryproto, write_binaryproto
from cafx_loss_softmaxwithloss import SoftmaxLoss

if TYPE_CHECKING:
    from cafx.conformance import Case

SMALLEST = 1e-20
"""Smaller probabilities count as this one, so that the loss stays finite."""


@message("infogain_loss_param", 116)
class InfogainLossParameter(Message):
    """Options of InfogainLoss."""

    source: str | None = option(1, "string", doc="binaryproto of H, where it is no bottom")
    axis: int = option(2, "int32", 1, doc="the axis along which the classes lie")


class InfogainLoss(SoftmaxLoss):
    """Infogain loss: L = −Σ Σₖ H[label, k] log p[k] / normaliser, p = softmax(x) along ``axis``.

    Bottoms: scores x of any shape with K classes along ``axis``; labels, one whole number for each
    other position; optionally H, K·K values, else read from ``source``. Tops: L, a scalar;
    optionally p, of the shape of x, whose own gradient is ignored. ``loss_param`` says which label
    does not count and what the normaliser is. The identity for H gives SoftmaxWithLoss.
    Gradient: dx = dL · (p · Σₖ H[label, k] − H[label]) / normaliser, 0 where no label counts.

    Raises:
        CafxError: no such axis, no H or one of another size, another number of labels than
            positions, a label that is no class, or ``loss_param.normalize``, which is older than it.

    Source: Caffe's layer catalogue, Infogain loss.
    """

    Parameter = InfogainLossParameter
    options: InfogainLossParameter
    bottoms = (2, 3)
    integer_bottoms = (1, 2)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read H, unless it is a bottom, which labels count, and the normalisation."""
        super().setup(bottom, top)
        if self.spec.loss_param.HasField("normalize"):
            raise self.error("takes no normalize", found="loss_param { normalize }", expected="normalization: VALID")
        if len(bottom) == 3:
            return
        if not self.options.source:
            raise self.error("has no matrix", expected="a third bottom, or infogain_loss_param { source: … }")
        values = read_binaryproto(self.options.source)
        self.matrix = self.context.blob(values.shape, f"{self.name}.matrix")
        self.matrix.set_data(values)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The loss is a scalar; H has a row and a column a class."""
        super().reshape(bottom, top)
        if self._matrix(bottom).count() != self.classes**2:
            raise self.error(
                "its matrix has another size", found=f"{self._matrix(bottom).count()} values",
                expected=f"{self.classes}×{self.classes}",
            )  # fmt: skip

    def _matrix(self, bottom: list[Blob]) -> Blob:
        """H: the third bottom, or what was read."""
        return bottom[2] if len(bottom) == 3 else self.matrix

    def _worth(self, bottom: list[Blob]) -> tuple[Any, Any]:
        """H[label, k] as outer×classes×inner, 0 where no label counts; and where labels count."""
        matrix = self._matrix(bottom).data.reshape(self.classes, self.classes)
        labels, counted = self.labels(bottom, self.ignored)
        worth = matrix[labels].transpose(0, 2, 1)
        return worth if counted is None else worth * counted[:, None, :], counted

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """L = −Σ Σₖ H[label, k] log p[k] / normaliser."""
        p = self.predict(bottom)
        worth, counted = self._worth(bottom)
        likelihood = self.xp.log(self.xp.maximum(p, SMALLEST))
        likelihood *= worth
        self.write_tops(top, likelihood, counted)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dL · (p · Σₖ H[label, k] − H[label]) / normaliser."""
        self.refuse_gradients(propagate_down)
        if propagate_down[0]:
            worth, dx = self._worth(bottom)[0], self.scores(bottom[0].mutable_diff)
            p = self.scores(self.probabilities.data)
            self.xp.multiply(p, worth.sum(axis=1, keepdims=True), out=dx)
            dx -= worth
            dx *= self.loss_weight(top) / self.divisor

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Every normalisation, with and without a label that does not count, along several axes."""
        from cafx.conformance import Case, labels, uniform

        def matrix(classes: int) -> Any:
            return uniform((classes, classes), -0.5, 1.5)

        yield Case("rows", (5, 4), labels((5,), 4), uniform((1, 1, 4, 4), 0, 1))
        yield Case("images", (2, 3, 2, 2), labels((2, 2, 2), 3), matrix(3))
        yield Case("last_axis", (2, 3, 4), labels((2, 3), 4), matrix(4), options={"axis": -1})
        for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
            loss = {"normalization": mode, "ignore_label": 1}
            yield Case(mode.lower(), (2, 3, 5), labels((2, 5), 3), matrix(3), layer={"loss_param": loss})
        source = {"source": str(Path(_folder().name) / "matrix.binaryproto")}
        write_binaryproto(source["source"], np.arange(9.0).reshape(1, 1, 3, 3) / 5)
        yield Case("source", (5, 3), labels((5,), 3), options=source)
        weights = {"loss_weight": [2.0, 0.0]}
        yield Case("probabilities", (4, 3), labels((4,), 3), matrix(3), tops=2, layer=weights)


@functools.cache
def _folder() -> TemporaryDirectory[str]:
    """A folder for the matrix of a case, which lasts as long as this process."""
    return TemporaryDirectory(prefix="cafx-infogain-")
