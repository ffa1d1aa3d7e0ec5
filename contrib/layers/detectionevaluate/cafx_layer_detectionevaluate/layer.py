"""DetectionEvaluate: true and false positives of detections (SSD)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import Blob, CafxError, Layer
from cafx.kernel.blob import shape_text
from cafx_layer_detectionevaluate.judging import STATUS, check_classes, classes_of, judge, precisions
from cafx_layer_detectionevaluate.options import DetectionEvaluateParameter
from cafx_lib_ssd import GroundTruth, ImageSize, read_sizes

if TYPE_CHECKING:
    from cafx.conformance import Case

DETECTION, TRUTH = 7, 8
DEFAULT_VERSION = "Integral"


class DetectionEvaluate(Layer):
    """Compares detections with ground truth. By descending score, a detection is a hit of the object of its image
    and class with the largest overlap, if that is at least ``overlap_threshold`` and no better detection hit it.

    Bottoms: detections, 1×1×D×7, rows (image, class, score, xmin, ymin, xmax, ymax); ground truth, 1×1×G×8, rows
    (image, class, instance, xmin, ymin, xmax, ymax, difficult). Rows with image −1 do not count; in the ground
    truth, the first one ends the list. Detections of class −1, which stand for none, do not count either.
    Top: 1×1×R×5: per class but the background a row (−1, class, number of objects, −1, −1); then per detection, by
    image and class, a row (image, class, score, hit, miss). A hit of a difficult object that does not count is
    (…, 0, 0), and is left out of the precision.
    Gradient: none.

    `test_scores` computes mean average precision from the tops of all batches. The images of name_size_file follow each
    other over the batches; a batch ends with its last image that has a detection or an object.

    Raises:
        CafxError: num_classes is missing, rows have the wrong length, a class is the background or none, or
            name_size_file cannot be read.

    Source: Everingham et al., "The PASCAL Visual Object Classes Challenge", 2010; the SSD fork of Caffe.
    """

    Parameter = DetectionEvaluateParameter
    options: DetectionEvaluateParameter
    bottoms = 2
    forward_only = True
    dynamic_shape = True
    keeps_state = True
    capturable = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the options."""
        if not self.options.num_classes:
            raise self.error("num_classes must be given", expected="detection_evaluate_param { num_classes: … }")
        self.classes = classes_of(self.options)
        self.sizes: list[ImageSize] = []
        self.images = 0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """A row per class until forward knows the number of detections."""
        for blob, length in zip(bottom, (DETECTION, TRUTH), strict=True):
            if not blob.shape or blob.shape[-1] != length:
                found = shape_text(blob.shape)
                raise self.error(f"bottom '{blob.name}' has no rows of {length} values", found=found)
        top[0].reshape(1, 1, len(self.classes), STATUS)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Count objects, then judge the detections of each image and class."""
        found = bottom[0].host().reshape(-1, DETECTION)
        truth = GroundTruth.of(bottom[1].host(), stop=True)
        images = 1 + int(max(found[:, 0].max(initial=-1), truth.images.max(initial=-1)))
        found = found[(found[:, 0] != -1) & (found[:, 1] != -1)]
        check_classes(self, found[:, 1], truth.labels)
        counted = truth.labels if self.options.evaluate_difficult_gt else truth.labels[~truth.difficult]
        head = np.full((len(self.classes), STATUS), -1.0)
        head[:, 1] = self.classes
        head[:, 2] = np.bincount(counted, minlength=self.options.num_classes)[self.classes]
        parts = [head, *self._judged(found, truth)]
        self.images += images
        top[0].reshape(1, 1, sum(map(len, parts)), STATUS)
        top[0].set_data(np.concatenate(parts))

    def _judged(self, found: npt.NDArray[Any], truth: GroundTruth) -> Iterable[npt.NDArray[Any]]:
        """Rows of status for each image and class."""
        for image in np.unique(found[:, 0]):
            size = self._size(int(image))
            detections, objects = found[found[:, 0] == image], truth[truth.images == image]
            for label in np.unique(detections[:, 1]):
                own = objects[objects.labels == label]
                yield judge(self.options, detections[detections[:, 1] == label], own, size)

    def _size(self, image: int) -> ImageSize | None:
        """The size of an image of the batch; after the last image of the list comes its first."""
        if not self.options.name_size_file:
            return None
        try:
            self.sizes = self.sizes or read_sizes(self.options.name_size_file)
        except CafxError as error:
            raise error.at(self.where) from None
        return self.sizes[(self.images + image) % len(self.sizes)]

    def state(self) -> dict[str, Any]:
        """The number of images so far, hence the position in the list of their sizes."""
        return {"images": self.images}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue after the images of a saved state."""
        self.images = state["images"]

    def test_scores(self, batches: Sequence[npt.NDArray[Any]], options: Any) -> dict[str, float]:
        """Mean average precision of a test: ``{"mAP": …}``, and with show_per_class_result also each class's.

        The mean is over all classes but the background; one without objects or detections has precision 0.

        Args:
            batches: the top's data after each forward pass of the test.
            options: a SolverParameter; ``ap_version`` is ``11point``, ``MaxIntegral`` or ``Integral`` (default).

        Returns:
            ``mAP``, then ``class1``, ``class2``, … if they are asked for.

        Raises:
            CafxError: an unknown ap_version.

        Example:
            >>> from types import SimpleNamespace
            >>> from cafx.kernel import schema
            >>> spec = schema()["LayerParameter"](name="eval", type="DetectionEvaluate")
            >>> batch = np.array([[-1, 1, 2, -1, -1], [0, 1, 0.9, 1, 0], [0, 1, 0.8, 0, 1], [0, 1, 0.7, 1, 0]])
            >>> round(DetectionEvaluate(spec).test_scores([batch], SimpleNamespace(ap_version="11point"))["mAP"], 4)
            0.8485
        """
        rows = np.concatenate([np.asarray(batch, np.float64).reshape(-1, STATUS) for batch in batches])
        version = getattr(options, "ap_version", "") or DEFAULT_VERSION
        precision = precisions(rows, version)
        mean = {"mAP": sum(precision.values()) / max(1, len(precision))}
        if getattr(options, "show_per_class_result", False):
            return mean | {f"class{label}": value for label, value in precision.items()}
        return mean

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """See `cafx_layer_detectionevaluate.cases`."""
        from cafx_layer_detectionevaluate.cases import cases

        return cases()
