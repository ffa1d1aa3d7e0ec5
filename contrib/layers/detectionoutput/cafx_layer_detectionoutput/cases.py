"""Conformance cases of DetectionOutput."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cafx.conformance import Case

PRIORS, CLASSES = 6, 3
LABELS = "".join(f'item {{ name: "c{each}" label: {each} }}\n' for each in range(CLASSES))
SIZES = "a 30 40\nb 50 60\n"


def cases() -> Iterable[Case]:
    """Every code, thresholds, limits, boxes per class, files and pictures."""
    from cafx.conformance import Case, distinct, uniform

    location, scores = uniform((2, PRIORS * 4), -1, 1), distinct((2, PRIORS * CLASSES), 0.02)
    inputs = (location, scores, priors())
    yield Case("all", *inputs, options={"num_classes": CLASSES})
    limits = {"nms_threshold": 0.9, "top_k": 4, "eta": 0.8}
    centre = {"code_type": "CENTER_SIZE", "keep_top_k": 3, "confidence_threshold": 0.01, "nms_param": limits}
    without = {"onnx": "ONNX's NonMaxSuppression has no eta"}
    yield Case("limits", *inputs, options={"num_classes": CLASSES, **centre}, skip=without)
    corner = {"code_type": "CORNER_SIZE", "variance_encoded_in_target": True, "background_label_id": 2}
    yield Case("corner_size", *inputs, options={"num_classes": CLASSES, **corner})
    own = uniform((1, PRIORS * CLASSES * 4), -1, 1)
    separate = {"num_classes": CLASSES, "share_location": False, "background_label_id": -1}
    yield Case("separate", own, distinct((1, PRIORS * CLASSES), 0.02), priors(), options=separate)
    nothing = {"num_classes": CLASSES, "confidence_threshold": 1e6}
    yield Case("nothing", location, scores, priors(), options=nothing)
    folder = sample_files()
    files = {
        "output_directory": str(folder / "results"),
        "output_name_prefix": "found_",
        "output_format": "VOC",
        "label_map_file": str(folder / "labels.prototxt"),
        "name_size_file": str(folder / "sizes.txt"),
        "num_test_image": 1,
        "resize_param": {"resize_mode": "WARP"},
    }
    yield Case("files", *inputs, options={"num_classes": CLASSES, "save_output_param": files})
    shown = {"visualize": True, "visualize_threshold": 0.1, "save_file": str(folder / "shown.png")}
    images = uniform((2, 3, 8, 9), 0, 255)
    yield Case("pictures", *inputs, images, options={"num_classes": CLASSES, **shown})


def priors() -> Any:
    """Priors that overlap, with their variances."""
    from cafx.conformance import values

    left = np.arange(PRIORS) / (2 * PRIORS)
    boxes = np.stack([left, left / 2, left + 0.3, left / 2 + 0.4], axis=1)
    return values(np.stack([boxes.ravel(), np.tile([0.1, 0.1, 0.2, 0.2], PRIORS)])[None])


def sample_files() -> Path:
    """A folder with a label map and a list of image sizes."""
    from cafx_lib_feed import samples

    folder = samples.folder()
    (folder / "labels.prototxt").write_text(LABELS)
    (folder / "sizes.txt").write_text(SIZES)
    return folder
