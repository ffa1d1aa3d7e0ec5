"""BoxAnnotatorOHEM: labels and weights of the regions with the largest losses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Message, above, message, option
from cafx.kernel.blob import shape_text
from cafx_lib_rcnn import Constant

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("box_annotator_ohem_param", 10000)
class BoxAnnotatorOHEMParameter(Message):
    """Options of BoxAnnotatorOHEM."""

    roi_per_img: int = option(1, "uint32", required=True, doc="how many regions of an image count", check=above(0))
    ignore_label: int = option(2, "int32", -1, doc="label of the other regions")


class BoxAnnotatorOHEM(Constant):
    """Online hard example mining: keeps the labels and box weights of each image's regions with the largest losses.

    y₁ = label and y₂ = weights for the ``roi_per_img`` positions of an image with the largest losses (of equal
    ones, the first), else y₁ = ``ignore_label`` and y₂ = 0.
    Bottoms: regions R×5×H×W with rows (image, x1, y1, x2, y2), losses R×1×H×W, labels R×1×H×W and box weights
    R×K×H×W; axes of length 1 may be left out. Tops: labels R×1×H×W, weights R×K×H×W.
    The gradients of the bottoms are 0.

    Raises:
        CafxError: ``roi_per_img`` is missing, a region does not have five values, or the bottoms differ in the
            number of positions.

    Source: Shrivastava et al., "Training Region-based Object Detectors with Online Hard Example Mining", CVPR
    2016; R-FCN's fork of Caffe.
    """

    Parameter = BoxAnnotatorOHEMParameter
    options: BoxAnnotatorOHEMParameter
    bottoms = 4
    tops = 2

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check that the number of regions is given."""
        if not self.options.has("roi_per_img"):
            raise self.error("roi_per_img is missing", expected="box_annotator_ohem_param { roi_per_img: 128 }")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The tops have the positions of the regions."""
        regions, losses, labels, weights = (blob.shape + (1,) * (4 - len(blob.shape)) for blob in bottom)
        if regions[1] != 5:
            raise self.error("a region has five values", found=shape_text(bottom[0].shape), expected="R×5×H×W")
        places = (regions[0], *regions[2:])
        for shape, blob, channels in ((losses, bottom[1], 1), (labels, bottom[2], 1), (weights, bottom[3], None)):
            if (shape[0], *shape[2:]) != places or channels not in (None, shape[1]):
                expected = shape_text((regions[0], channels or weights[1], *regions[2:]))
                message = f"bottom '{blob.name}' does not fit the regions"
                raise self.error(message, found=shape_text(blob.shape), expected=expected)
        self.shape = (regions[0], 5, *regions[2:])
        top[0].reshape(regions[0], 1, *regions[2:])
        top[1].reshape(*weights)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Keep what belongs to the largest losses."""
        xp = self.xp
        kept = self._kept(bottom).reshape(top[0].shape)
        labels, weights = (blob.data.reshape(y.shape) for blob, y in zip(bottom[2:], top, strict=True))
        top[0].mutable_data[...] = xp.where(kept, labels, self.options.ignore_label)
        top[1].mutable_data[...] = xp.where(kept, weights, 0)

    def _kept(self, bottom: list[Blob]) -> Any:
        """Whether each position is among the ``roi_per_img`` first of its image, by falling losses."""
        xp = self.xp
        image = bottom[0].data.reshape(self.shape)[:, 0].reshape(-1)
        by_loss = xp.argsort(-bottom[1].data.reshape(-1), kind="stable")
        order = by_loss[xp.argsort(image[by_loss], kind="stable")]
        ordered = image[order]
        rank = xp.arange(order.size) - xp.searchsorted(ordered, ordered)
        kept = xp.empty(order.size, bool)
        kept[order] = rank < self.options.roi_per_img
        return kept

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Several images, more and fewer regions than count, maps of positions."""
        from cafx.conformance import Case, labels, normal, uniform, values

        regions = values([[0, 1, 2, 3, 4], [1, 0, 0, 1, 1], [0, 2, 2, 3, 3], [1, 5, 5, 6, 6], [0, 1, 1, 2, 2]])
        yield Case("rows", regions, (5,), labels((5,), 4), (5, 8), options={"roi_per_img": 2}, tops=2)
        column = uniform((3, 5, 1, 1), 0, 0.5)
        four = (column, (3, 1, 1, 1), labels((3, 1, 1, 1), 4), (3, 8, 1, 1))
        yield Case("all", *four, options={"roi_per_img": 128, "ignore_label": 255}, tops=2)
        maps = (normal((2, 5, 3, 2), 0.0, 1.0), (2, 1, 3, 2), labels((2, 1, 3, 2), 4), (2, 4, 3, 2))
        yield Case("maps", *maps, options={"roi_per_img": 4}, tops=2)
