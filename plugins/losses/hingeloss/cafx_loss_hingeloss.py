"""HingeLoss: the margin loss of one-against-all classifiers."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

from cafx.kernel import Blob, LossLayer, Message, message, option
from cafx_lib_labelled import LabelledLayer

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("hinge_loss_param", 114)
class HingeLossParameter(Message):
    """Options of HingeLoss."""

    class Norm(IntEnum):
        """What is summed up: the missing margins, or their squares."""

        L1 = 1
        L2 = 2

    norm: Norm = option(1, Norm, Norm.L1, doc="L1 or L2 norm of the missing margins")


class HingeLoss(LabelledLayer, LossLayer):
    """Hinge loss: L = Σ m / N or Σ m² / N, m = max(0, 1 − t · x), t = 1 for the label, else −1.

    Bottoms: scores x, N×K (further axes count as classes); labels, N whole numbers. Top: L, a scalar.
    Gradient: dx = −t · dL / N where m > 0 (L1), −2 t m · dL / N (L2).

    Raises:
        CafxError: not one label an item, or a label that is no class.

    Source: Crammer and Singer, "Multiclass Kernel-based Vector Machines", 2001; Caffe's catalogue.
    """

    Parameter = HingeLossParameter
    options: HingeLossParameter

    @property
    def kinks(self) -> tuple[float, ...]:
        """Scores at which a margin is just met."""
        return (-1.0, 1.0) if self.options.norm == HingeLossParameter.Norm.L1 else ()

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Make room for the missing margins."""
        self.missing = self.context.blob((), f"{self.name}.missing")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top is a scalar; there is one label an item."""
        LossLayer.reshape(self, bottom, top)
        self.line_up(bottom, 1, bottom[0].num_axes)
        self.missing.reshape(*bottom[0].shape)
        self.items = max(1, self.outer)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """L = Σ max(0, 1 − t · x) / N, or of its square."""
        missing = self.scores(self.missing.mutable_data)
        missing[...] = self.scores(bottom[0].data)
        labelled = self.at(self.labels(bottom)[0])
        missing[labelled] = -missing[labelled]
        missing += 1
        self.xp.maximum(missing, 0, out=missing)
        squared = self.options.norm == HingeLossParameter.Norm.L2
        top[0].mutable_data[...] = (missing * missing if squared else missing).sum() / self.items

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = −t · dL / N where a margin is missing, or −2 t m · dL / N."""
        self.refuse_gradients(propagate_down)
        if propagate_down[0]:
            dx, missing = self.scores(bottom[0].mutable_diff), self.scores(self.missing.data)
            if self.options.norm == HingeLossParameter.Norm.L1:
                self.xp.sign(missing, out=dx)
            else:
                self.xp.multiply(missing, 2, out=dx)
            labelled = self.at(self.labels(bottom)[0])
            dx[labelled] = -dx[labelled]
            dx *= self.loss_weight(top) / self.items

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both norms, from two axes to four."""
        from cafx.conformance import Case, labels, normal

        yield Case("l1", normal((5, 4), 2.0), labels((5,), 4))
        yield Case("l2", normal((5, 4), 2.0), labels((5, 1), 4), options={"norm": "L2"})
        yield Case("images", (3, 2, 1, 2), labels((3,), 4), layer={"loss_weight": [0.7]})
