"""Yolov3DetectionOutput: the detections of YOLOv3's scales."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from cafx.kernel import Blob, Message, message, option
from cafx_lib_yolo import Detections, DetectionsLayer, Grid, logistic, pixel_anchors

if TYPE_CHECKING:
    from cafx.conformance import Case

PLAIN, GAUSSIAN = (0, 1, 2, 3, 4), (0, 2, 4, 6, 8)
"""Positions of x, y, w, h and the objectness among the values of a box."""
DEVIATIONS = slice(1, 9, 2)


@message("yolov3_detection_output_param", 602)
class Yolov3DetectionOutputParameter(Message):
    """Options of Yolov3DetectionOutput."""

    num_classes: int = option(1, "uint32", 20, doc="number of classes; must be written")
    num_box: int = option(2, "uint32", 3, doc="boxes per cell")
    confidence_threshold: float = option(3, "float", 0.01, doc="only scores above this are detections")
    nms_threshold: float = option(4, "float", 0.45, doc="of two boxes that overlap by this or more, the better remains")
    biases: list[float] = option(5, "float", repeated=True, doc="width and height of each anchor in pixels")
    anchors_scale: list[int] = option(6, "uint32", repeated=True, doc="pixels per cell of each scale")
    mask_group_num: int = option(7, "uint32", 2, doc="number of scales")
    mask: list[int] = option(8, "uint32", repeated=True, doc="anchors of the scales, one scale after the other")
    gaussian_box: bool = option(9, "bool", False, doc="each of x, y, w, h is followed by its standard deviation")


class Yolov3DetectionOutput(DetectionsLayer):
    """Detections of all scales of YOLOv3, best first, freed of duplicates.

    With p = σ(x): a box is ((column + p_x) / W, (row + p_y) / H, a_w exp(w) / (W s), a_h exp(h) / (H s)), with anchor a
    and anchors_scale s; its score for class c is p_objectness p_c, and each score above ``confidence_threshold``
    is a detection. With ``gaussian_box``, scores are multiplied by 1 − the mean of the four σ(deviation). From the
    best down, a detection that overlaps a better one by ``nms_threshold`` or more (IoU) is dropped, whatever the
    classes. As in the fork, a batch counts as one image: set batch size 1.

    Bottoms: per scale, predictions N×(num_box·(5 + num_classes))×H×W, for each box x, y, w, h, objectness,
    classes (gaussian_box: 9 + num_classes, x, its deviation, y, …). Top: 1×1×M×7, rows (0, class + 1, score, xmin,
    ymin, xmax, ymax) relative to the image; without detections, a row (image, -1, …) per image. No gradient.

    Raises:
        CafxError: num_classes is not written; not mask_group_num bottoms; options do not fit the scales; a bottom has
            the wrong shape.

    Source: Redmon and Farhadi, "YOLOv3", 2018; eric612/MobileNet-YOLO; Choi et al., "Gaussian YOLOv3", 2019.
    """

    Parameter = Yolov3DetectionOutputParameter
    options: Yolov3DetectionOutputParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the options."""
        options = self.options
        if not options.has("num_classes"):
            raise self.error("num_classes must be written")
        if len(bottom) != options.mask_group_num:
            raise self.error("needs a bottom per scale", found=len(bottom), expected=f"mask_group_num {len(bottom)}")
        group = len(options.mask) // max(1, options.mask_group_num)
        masks = [list(options.mask[group * scale :][: options.num_box]) for scale in range(len(bottom))]
        self.anchors = [pixel_anchors(self, mask, options.num_box)[mask] for mask in masks]
        if len(options.anchors_scale) < len(bottom):
            raise self.error(
                "needs anchors_scale for each scale", found=len(options.anchors_scale), expected=len(bottom)
            )

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Find the grid of each scale; the top has one row until forward knows how many there are."""
        super().reshape(bottom, top)
        values = (9 if self.options.gaussian_box else 5) + self.options.num_classes
        scales = zip(bottom, self.anchors, self.options.anchors_scale, strict=False)
        self.grids = [Grid.of(self, blob, anchors, values, scale) for blob, anchors, scale in scales]

    def detect(self, bottom: list[Blob]) -> Detections:
        """Every score above the threshold, scale by scale, in the order of cells."""
        return Detections.joined([self._at_scale(*each) for each in zip(self.grids, bottom, strict=True)])

    def _at_scale(self, grid: Grid, bottom: Blob) -> Detections:
        x = bottom.host().reshape(grid.shape)
        order = GAUSSIAN if self.options.gaussian_box else PLAIN
        objectness, first = logistic(np, x[:, :, order[4]]), order[4] + 1
        images, anchors, rows, columns = np.nonzero(objectness > self.options.confidence_threshold)
        by_cell = np.lexsort((anchors, columns, rows, images))
        at = tuple(each[by_cell] for each in (images, anchors, rows, columns))
        values = x[at[0], at[1], :, at[2], at[3]]
        scores = logistic(np, values[:, first:]) * objectness[at][:, None]
        if self.options.gaussian_box:
            scores *= 1 - logistic(np, values[:, DEVIATIONS]).mean(axis=1, keepdims=True)
        boxes = grid.boxes_at(at[1:], values[:, order[:4]])
        return Detections.passing(boxes, scores, scores > self.options.confidence_threshold)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One, two and three scales, batches, images without detections, deviations."""
        from cafx.conformance import Case

        one = {"num_classes": 3, "num_box": 2, "biases": [20, 30, 50, 40], "mask": [1, 0], "anchors_scale": [16]}
        one |= {"mask_group_num": 1, "confidence_threshold": 0.3}
        yield Case("one", (2, 16, 3, 4), options=one)
        yield Case("none", (2, 16, 3, 4), options={**one, "confidence_threshold": 0.999})
        yield Case("deviations", (1, 24, 3, 3), options={**one, "gaussian_box": True, "nms_threshold": 0.3})
        three = {**one, "num_box": 1, "mask": [1, 0, 1], "anchors_scale": [32, 16, 8], "mask_group_num": 3}
        yield Case("three", (1, 8, 2, 2), (1, 8, 4, 4), (1, 8, 8, 8), options=three)
