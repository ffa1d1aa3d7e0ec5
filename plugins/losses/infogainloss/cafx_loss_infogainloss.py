"""InfogainLoss: multinomial logistic loss weighted by an infogain matrix."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, Message, message, option
from cafx_format_binaryproto import read_binaryproto, write_binaryproto
from cafx_lib_softmax import SoftmaxLoss

if TYPE_CHECKING:
    from cafx.conformance import Case

SMALLEST = 1e-20
"""Lower bound of probabilities, which keeps the loss finite."""


@message("infogain_loss_param", 116)
class InfogainLossParameter(Message):
    """Options of InfogainLoss."""

    source: str | None = option(1, "string", doc="binaryproto file with H, unless H is a bottom")
    axis: int = option(2, "int32", 1, doc="axis of the classes; negative from the end")


class InfogainLoss(SoftmaxLoss):
    """Infogain loss: L = −Σ Σₖ H[label, k] log p[k] / normaliser, p = softmax(x) along ``axis``.

    Bottoms: scores x of any shape, with K classes along ``axis``; one integer label per remaining position;
    optionally H, K·K values, otherwise read from ``source``. Tops: L, a scalar; optionally p, of the shape
    of x, whose own gradient is ignored. ``loss_param`` sets the ignored label and the normaliser. With the
    identity for H, L is SoftmaxWithLoss.
    Gradient: dx = dL · (p · Σₖ H[label, k] − H[label]) / normaliser, 0 where the label is ignored.

    Raises:
        CafxError: the axis does not exist, H is missing or has the wrong size, there is not one label per
            position, a label is not a class index, or ``loss_param.normalize`` is set.

    Source: Caffe's layer catalogue, Infogain loss.
    """

    Parameter = InfogainLossParameter
    options: InfogainLossParameter
    bottoms = (2, 3)
    integer_bottoms = (1, 2)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read H, unless it is a bottom, the ignored label and the normalisation."""
        super().setup(bottom, top)
        if self.spec.loss_param.HasField("normalize"):
            found, expected = "loss_param { normalize }", "normalization: VALID"
            raise self.error("normalize is unsupported", found=found, expected=expected)
        if len(bottom) == 3:
            return
        if not self.options.source:
            expected = "a third bottom, or infogain_loss_param { source: … }"
            raise self.error("the infogain matrix is missing", expected=expected)
        values = read_binaryproto(self.options.source)
        self.matrix = self.context.blob(values.shape, f"{self.name}.matrix")
        self.matrix.mutable_data[...] = self.xp.asarray(values, dtype=self.context.dtype)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The loss is a scalar; H has one row and one column per class."""
        super().reshape(bottom, top)
        count, classes = self._matrix(bottom).count(), self.classes
        if count != classes**2:
            message = "the infogain matrix has the wrong size"
            raise self.error(message, found=f"{count} values", expected=f"{classes}×{classes}")

    def _matrix(self, bottom: list[Blob]) -> Blob:
        """H: the third bottom, or the matrix read from ``source``."""
        return bottom[2] if len(bottom) == 3 else self.matrix

    def _gain(self, bottom: list[Blob]) -> tuple[Any, Any]:
        """H[label, k] as outer×classes×inner, 0 where the label is ignored; mask of labels that count."""
        matrix = self._matrix(bottom).data.reshape(self.classes, self.classes)
        labels, valid = self.labels(bottom, self.ignored)
        gain = matrix[labels].transpose(0, 2, 1)
        return gain if valid is None else gain * valid[:, None, :], valid

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """L = −Σ Σₖ H[label, k] log p[k] / normaliser."""
        p = self.predict(bottom)
        gain, valid = self._gain(bottom)
        likelihood = self.xp.log(self.xp.maximum(p, SMALLEST))
        likelihood *= gain
        self.write_tops(top, likelihood, valid)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dL · (p · Σₖ H[label, k] − H[label]) / normaliser."""
        self.refuse_gradients(propagate_down)
        if propagate_down[0]:
            gain, dx = self._gain(bottom)[0], self.scores(bottom[0].mutable_diff)
            p = self.scores(self.probabilities.data)
            self.xp.multiply(p, gain.sum(axis=1, keepdims=True), out=dx)
            dx -= gain
            dx *= self.loss_weight(top) / self.divisor

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Every normalisation, with and without an ignored label; several axes; H from a file."""
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
    """A folder for the matrix of a case, deleted when this process ends."""
    return TemporaryDirectory(prefix="cafx-infogain-")
