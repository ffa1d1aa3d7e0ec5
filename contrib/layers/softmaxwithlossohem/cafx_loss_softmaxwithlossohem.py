"""SoftmaxWithLossOHEM: softmax loss, also per position, for mining of hard examples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, LossParameter
from cafx_lib_labelled import Normaliser
from cafx_loss_softmaxwithloss import SoftmaxWithLoss

if TYPE_CHECKING:
    from cafx.conformance import Case


class SoftmaxWithLossOHEM(SoftmaxWithLoss):
    """Softmax loss: L = Σ l / normaliser with l = −log p[label], p = softmax(x) along ``softmax_param.axis``.

    Bottoms: scores x of any shape; one integer label per position. Tops: L, a scalar; optionally p, of the
    shape of x, and l, of the shape of the labels, 0 where the label is ignored; their own gradients are
    ignored. ``loss_param`` sets the ignored label and the normaliser: as for SoftmaxWithLoss, and PRE_FIXED,
    which divides by ``pre_fixed_normalizer``.
    Gradient: dx = dL · (p − 1 at the label) / normaliser, 0 where the label is ignored.

    Raises:
        CafxError: the axis does not exist, there is not one label per position, or a label is not a class
            index.

    Source: Dai et al., "R-FCN: Object Detection via Region-based Fully Convolutional Networks", NIPS 2016.
    """

    tops = (1, 3)
    constant_tops = (1, 2)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the ignored label and the normalisation."""
        super().setup(bottom, top)
        self.normaliser = Normaliser(self.read(LossParameter))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The loss is a scalar; the losses per position have the shape of the labels."""
        super().reshape(bottom, top[:2])
        for losses in top[2:]:
            losses.reshape(*bottom[1].shape)

    def write_tops(self, top: list[Blob], likelihood: Any, valid: Any) -> None:
        """Write L, p and l; arguments as for `SoftmaxLoss.write_tops`."""
        super().write_tops(top[:2], likelihood, valid)
        for losses in top[2:]:
            losses.mutable_data[...] = -likelihood.reshape(losses.shape)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One to three tops, every normalisation, with and without an ignored label."""
        from cafx.conformance import Case, labels, values

        yield Case("rows", (5, 4), labels((5,), 4), tops=3, layer={"loss_weight": [1.0, 0.0, 0.0]})
        yield Case("images", (2, 3, 4, 5), labels((2, 1, 4, 5), 3), options={"engine": "CAFFE"}, tops=2)
        yield Case("last_axis", (3, 2, 5), labels((3, 2), 5), options={"axis": -1}, layer={"loss_weight": [2.5]})
        ignored = values([[0, 255, 2], [1, 1, 255]])
        for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
            loss = {"normalization": mode, "ignore_label": 255}
            yield Case(mode.lower(), (2, 3, 3), ignored, tops=3, layer={"loss_param": loss})
        fixed = {"normalization": "PRE_FIXED", "pre_fixed_normalizer": 4.0}
        yield Case("pre_fixed", (6, 3), labels((6,), 3), layer={"loss_param": fixed})
        yield Case("normalize_false", (6, 3), labels((6,), 3), layer={"loss_param": {"normalize": False}})
