"""HingeLoss: margin loss of one-versus-all classifiers."""

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
        """Sum of the hinge terms, or of their squares."""

        L1 = 1
        L2 = 2

    norm: Norm = option(1, Norm, Norm.L1, doc="L1 or L2 norm of the hinge terms")


class HingeLoss(LabelledLayer, LossLayer):
    """Hinge loss: L = Σ m / N (L1) or Σ m² / N (L2), m = max(0, 1 − t · x), t = 1 at the label, else −1.

    Bottoms: scores x, N×K (further axes count as classes); N integer labels. Top: L, a scalar.
    Gradient: dx = −t · dL / N where m > 0 (L1), −2 t m · dL / N (L2).

    Raises:
        CafxError: there is not one label per item, or a label is not a class index.

    Source: Crammer and Singer, "Multiclass Kernel-based Vector Machines", 2001; Caffe's catalogue.
    """

    Parameter = HingeLossParameter
    options: HingeLossParameter

    @property
    def kinks(self) -> tuple[float, ...]:
        """±1 for the L1 norm, where a hinge term becomes 0."""
        return (-1.0, 1.0) if self.options.norm == HingeLossParameter.Norm.L1 else ()

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the buffer for the hinge terms."""
        self.hinge = self.context.blob((), f"{self.name}.hinge")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top is a scalar."""
        LossLayer.reshape(self, bottom, top)
        self.set_class_axes(bottom, 1, bottom[0].num_axes)
        self.hinge.reshape(*bottom[0].shape)
        self.items = max(1, self.outer)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """L = Σ m / N, or Σ m² / N."""
        hinge = self.scores(self.hinge.mutable_data)
        hinge[...] = self.scores(bottom[0].data)
        labelled = self.at(self.labels(bottom)[0])
        hinge[labelled] = -hinge[labelled]
        hinge += 1
        self.xp.maximum(hinge, 0, out=hinge)
        squared = self.options.norm == HingeLossParameter.Norm.L2
        top[0].mutable_data[...] = (hinge * hinge if squared else hinge).sum() / self.items

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = −t · dL / N where m > 0, or −2 t m · dL / N."""
        self.refuse_gradients(propagate_down)
        if propagate_down[0]:
            dx, hinge = self.scores(bottom[0].mutable_diff), self.scores(self.hinge.data)
            if self.options.norm == HingeLossParameter.Norm.L1:
                self.xp.sign(hinge, out=dx)
            else:
                self.xp.multiply(hinge, 2, out=dx)
            labelled = self.at(self.labels(bottom)[0])
            dx[labelled] = -dx[labelled]
            dx *= self.loss_weight(top) / self.items

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both norms; two to four axes."""
        from cafx.conformance import Case, labels, normal

        yield Case("l1", normal((5, 4), 2.0), labels((5,), 4))
        yield Case("l2", normal((5, 4), 2.0), labels((5, 1), 4), options={"norm": "L2"})
        yield Case("images", (3, 2, 1, 2), labels((3,), 4), layer={"loss_weight": [0.7]})
