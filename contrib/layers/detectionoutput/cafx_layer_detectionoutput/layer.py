"""DetectionOutput: detections from box predictions and scores (SSD)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import Blob, CafxError, Layer
from cafx.kernel.blob import shape_text
from cafx_layer_detectionoutput.detecting import COLUMNS, candidates, detect, foreground
from cafx_layer_detectionoutput.options import DetectionOutputParameter
from cafx_layer_detectionoutput.pictures import Pictures
from cafx_layer_detectionoutput.results import Results
from cafx_lib_boxes import decode
from cafx_lib_ssd import LabelMap, PriorBoxParameter, count_priors

if TYPE_CHECKING:
    from cafx.conformance import Case


class DetectionOutput(Layer):
    """Detections: boxes b = decode(t, prior) with score p > threshold that survive non-maximum suppression.

    For each image and class, the ``nms_param.top_k`` best boxes above ``confidence_threshold`` take part in
    suppression; of the survivors of all classes the ``keep_top_k`` best are kept. Boxes are not clipped.

    Bottoms: box predictions t, N×(P·L·4) with L = 1, or L = num_classes without ``share_location``; scores p,
    N×(P·num_classes); priors, 1×2×(P·4), as of PriorBox; optionally images, N×C×H×W, for ``visualize``. Top:
    1×1×D×7 with a row (image, class, score, xmin, ymin, xmax, ymax) per detection, by image, class and
    descending score; equal scores come in the order of the priors. If there is no detection in the batch:
    1×1×N×7, with −1 after each image.
    Gradient: none.

    With ``save_output_param``, each detection also goes to files in the format VOC (one file per class), COCO or
    ILSVRC, in pixels of the original images. They are written whole after num_test_image images. With
    ``visualize``, each image is written with its boxes.

    Raises:
        CafxError: num_classes, eta or top_k is not valid, the bottoms do not fit together, or a file cannot be read or
            written.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016; the SSD fork of Caffe.
    """

    Parameter = DetectionOutputParameter
    declares = (PriorBoxParameter, LabelMap)
    options: DetectionOutputParameter
    bottoms = (3, 4)
    forward_only = True
    dynamic_shape = True
    capturable = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the options; no file is touched before the first forward pass."""
        if not self.options.num_classes:
            raise self.error("num_classes must be given", expected="detection_output_param { num_classes: … }")
        if not 0 < self.options.nms_param.eta <= 1:
            raise self.error("eta is not valid", found=f"{self.options.nms_param.eta:g}", expected="above 0, at most 1")
        if self.options.visualize and len(bottom) < 4:
            raise self.error("visualize needs the images as fourth bottom", found=f"{len(bottom)} bottoms")
        self.results: Results | None = None
        self.restored: dict[str, Any] = {}
        self.pictures = Pictures(self)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """One row until forward knows the number of detections."""
        self.sets = 1 if self.options.share_location else self.options.num_classes
        self.priors = count_priors(self, *bottom[:3], self.options.num_classes, self.sets)
        if self.options.visualize:
            shape = bottom[3].shape
            if len(shape) != 4 or shape[0] != bottom[0].shape[0] or shape[1] not in (1, 3) or 0 in shape[2:]:
                expected = f"{bottom[0].shape[0]}×3×H×W or {bottom[0].shape[0]}×1×H×W"
                raise self.error("the fourth bottom has no images", found=shape_text(shape), expected=expected)
        top[0].reshape(1, 1, 1, COLUMNS)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Decode, suppress, and list what is left."""
        count = bottom[0].shape[0]
        priors, variances = bottom[2].host().reshape(2, self.priors, 4)
        location = bottom[0].host().reshape(count, self.priors, self.sets, 4)
        scores = bottom[1].host().reshape(count, self.priors, -1)
        images = []
        for offsets, image_scores in zip(location, scores, strict=True):
            by_class = np.ascontiguousarray(image_scores.T)
            found = candidates(self.options, by_class)
            boxes = decode(
                offsets[found].transpose(1, 0, 2),
                priors[found],
                variances[found],
                self.options.code_type.name,
                variance_in_target=self.options.variance_encoded_in_target,
            )
            images.append(detect(self.options, boxes, by_class[:, found]))
        self._write(top[0], images)
        self._save(images)
        if self.options.visualize:
            self.pictures.add(bottom[3].host(), images)

    def _write(self, top: Blob, images: list[npt.NDArray[Any]]) -> None:
        counts = [len(rows) for rows in images]
        if any(counts):
            values = np.column_stack([np.repeat(np.arange(len(images)), counts), np.concatenate(images)])
        else:
            values = np.full((len(images), COLUMNS), -1.0)
            values[:, 0] = np.arange(len(images))
        top.reshape(1, 1, len(values), COLUMNS)
        top.set_data(values)

    def _save(self, images: list[npt.NDArray[Any]]) -> None:
        options = self.options.save_output_param
        if not Results.wanted(options):
            return
        if self.results is None:
            try:
                self.results = Results(options, foreground(self.options), self.context.plugins)
            except CafxError as error:
                raise error.at(self.where) from None
            self.results.images = self.restored.get("images", 0)
            self.results.rows = [tuple(row) for row in self.restored.get("rows", ())]
        for rows in images:
            self.results.add(rows)

    def state(self) -> dict[str, Any]:
        """Detections that are not yet in a file, and the number of pictures."""
        rows, images = (self.results.rows, self.results.images) if self.results else ([], 0)
        return {"images": images, "rows": [list(row) for row in rows], "pictures": self.pictures.count}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue after the images of a saved state."""
        self.restored, self.results = state, None
        self.pictures.count = state.get("pictures", 0)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """See `cafx_layer_detectionoutput.cases`."""
        from cafx_layer_detectionoutput.cases import cases

        return cases()
