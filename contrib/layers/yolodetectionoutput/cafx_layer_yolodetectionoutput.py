"""YoloDetectionOutput: the detections of YOLO9000's regions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from cafx.kernel import Blob, Message, message, option
from cafx_lib_yolo import Detections, DetectionsLayer, Grid, cell_anchors, logistic

if TYPE_CHECKING:
    from cafx.conformance import Case

OBJECTNESS, CLASSES = 4, 5


@message("yolo_detection_output_param", 601)
class YoloDetectionOutputParameter(Message):
    """Options of YoloDetectionOutput."""

    side: int = option(1, "uint32", 13, doc="cells per side; not looked at: the bottom says it")
    num_classes: int = option(2, "uint32", 20, doc="number of classes; must be written")
    num_box: int = option(3, "uint32", 5, doc="boxes per cell")
    coords: int = option(4, "uint32", 4, doc="coordinates of a box; only 4 is defined")
    confidence_threshold: float = option(5, "float", 0.01, doc="only scores of at least this are detections")
    nms_threshold: float = option(6, "float", 0.45, doc="of two boxes that overlap by this or more, the better remains")
    biases: list[float] = option(7, "float", repeated=True, doc="width and height of each anchor in cells")
    label_map_file: str = option(8, "string", "", doc="names of the classes; not read, since the top holds numbers")


class YoloDetectionOutput(DetectionsLayer):
    """Detections of one or two grids of YOLO9000, best first, freed of duplicates.

    A box is ((column + σ(x)) / W, (row + σ(y)) / H, a_w exp(w) / W, a_h exp(h) / H), with anchor a in cells. Its
    score is σ(objectness) times the largest value of the softmax over classes; scores of ``confidence_threshold``
    or more are detections of that class. From the best down, a detection that overlaps a better one by
    ``nms_threshold`` or more (IoU) is dropped, whatever the classes. As in the fork, a batch counts as one image:
    set batch size 1.

    Bottoms: one or two of predictions N×(num_box·(5 + num_classes))×H×W, for each box x, y, w, h, objectness,
    classes. Top: 1×1×M×7, rows (0, class + 1, score, xmin, ymin, xmax, ymax) relative to the image; without
    detections, a row (image, -1, …) per image. No gradient.

    Raises:
        CafxError: num_classes is not written; biases do not fit num_box; coords is not 4; a bottom has the wrong shape.

    Source: Redmon and Farhadi, "YOLO9000", 2016; eric612/MobileNet-YOLO.
    """

    Parameter = YoloDetectionOutputParameter
    options: YoloDetectionOutputParameter
    bottoms = (1, 2)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the options."""
        if not self.options.has("num_classes"):
            raise self.error("num_classes must be written")
        self.anchors = cell_anchors(self)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Find the grids; the top has one row until forward knows how many there are."""
        super().reshape(bottom, top)
        values = CLASSES + self.options.num_classes
        self.grids = [Grid.of(self, blob, self.anchors, values) for blob in bottom]

    def detect(self, bottom: list[Blob]) -> Detections:
        """The best class of each box if its score reaches the threshold, grid by grid, in the order of cells."""
        return Detections.joined([self._in_grid(*each) for each in zip(self.grids, bottom, strict=True)])

    def _in_grid(self, grid: Grid, bottom: Blob) -> Detections:
        x = bottom.host().reshape(grid.shape)
        scores = x[:, :, CLASSES:]
        powers = np.exp(scores - scores.max(axis=2, keepdims=True))
        score = logistic(np, x[:, :, OBJECTNESS]) * powers.max(axis=2) / powers.sum(axis=2)
        images, anchors, rows, columns = np.nonzero(score >= self.options.confidence_threshold)
        by_cell = np.lexsort((anchors, columns, rows, images))
        at = tuple(each[by_cell] for each in (images, anchors, rows, columns))
        values = x[at[0], at[1], :, at[2], at[3]]
        boxes = grid.boxes_at(at[1:], values[:, :OBJECTNESS])
        return Detections(boxes, values[:, CLASSES:].argmax(axis=1), score[at])

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One and two grids, batches, images without detections."""
        from cafx.conformance import Case

        options = {"num_classes": 3, "num_box": 2, "biases": [0.73, 0.87, 2.42, 2.65], "confidence_threshold": 0.3}
        yield Case("one", (2, 16, 3, 4), options={**options, "side": 3, "coords": 4, "label_map_file": "names"})
        yield Case("none", (2, 16, 3, 4), options={**options, "confidence_threshold": 0.999})
        yield Case("two", (1, 16, 2, 2), (1, 16, 4, 4), options={**options, "nms_threshold": 0.2})
