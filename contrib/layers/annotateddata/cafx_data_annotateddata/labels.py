"""The second top of AnnotatedData: the boxes of a batch as SSD or YOLO wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx_lib_annotated.records import COLUMNS, CORNERS, DIFFICULT_COLUMN, LABEL_COLUMN, Rows

Shape4 = tuple[int, int, int, int]
NO_BOX = -1
YOLO_ROWS, YOLO_COLUMNS = 300, 5


class BoxLabels:
    """Rows (item, label, instance, xmin, ymin, xmax, ymax, difficult) of all boxes; without boxes, a row of -1."""

    def shape(self, images: int, boxes: int) -> Shape4:
        """Shape of the top.

        Args:
            images: number of images in the batch.
            boxes: number of boxes in the batch.
        """
        return 1, 1, max(1, boxes), 1 + COLUMNS

    def write(self, rows: Sequence[Rows], out: npt.NDArray[Any]) -> None:
        """Write the annotations of each image to the top."""
        if not any(map(len, rows)):
            out[:] = NO_BOX
            return
        out[0, 0, :, 0] = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
        out[0, 0, :, 1:] = np.concatenate(rows)


@attrs.frozen
class YoloLabels:
    """For each image, 300 rows (label - 1, centre x, centre y, width, height); zeros follow the last box.

    Of an image with more boxes, the first 300 are kept.

    Attributes:
        with_difficult: whether difficult boxes have rows.
    """

    with_difficult: bool

    def shape(self, images: int, boxes: int) -> Shape4:
        """Shape of the top; see `BoxLabels`."""
        return images, 1, YOLO_ROWS, YOLO_COLUMNS

    def write(self, rows: Sequence[Rows], out: npt.NDArray[Any]) -> None:
        """Write the annotations of each image to the top."""
        out[:] = 0
        for each, own in zip(rows, out[:, 0], strict=True):
            kept = (each if self.with_difficult else each[each[:, DIFFICULT_COLUMN] == 0])[:YOLO_ROWS]
            low, high = np.split(kept[:, CORNERS], 2, axis=1)
            own[: len(kept), 0] = kept[:, LABEL_COLUMN] - 1
            own[: len(kept), 1:] = np.concatenate([(low + high) / 2, high - low], axis=1)
