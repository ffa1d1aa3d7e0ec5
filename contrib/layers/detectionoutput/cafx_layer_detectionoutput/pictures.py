"""Pictures of detections: the images that a net was given, with boxes, class names and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import Layer
from cafx.kernel.files import atomic_write
from cafx_layer_detectionoutput.options import DetectionOutputParameter
from cafx_lib_ssd import read_label_map

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
COLOURS = ((60, 180, 75), (230, 25, 75), (0, 130, 200), (245, 130, 48), (145, 30, 180), (70, 240, 240))
LINE, TEXT = 2, 0.5


class Pictures:
    """Writes the images of a layer's fourth bottom, with the detections that its options ask for.

    Args:
        layer: the layer.

    Attributes:
        count: number of pictures so far.
    """

    def __init__(self, layer: Layer) -> None:
        options: DetectionOutputParameter = layer.options
        self.path = Path(options.save_file or f"{layer.name}.png")
        self.threshold = options.visualize_threshold or 0
        self.label_map = options.save_output_param.label_map_file
        self.transformation, self.plugins = layer.spec.transform_param, layer.context.plugins
        self.names: dict[int, str] | None = None
        self.count = 0

    def add(self, images: npt.NDArray[Any], detections: list[npt.NDArray[Any]]) -> None:
        """Write a picture of each image.

        Args:
            images: N×C×H×W.
            detections: for each image rows (class, score, xmin, ymin, xmax, ymax).

        Raises:
            CafxError: the label map cannot be read, or a picture not be written.
        """
        if self.names is None:
            items = read_label_map(self.label_map, self.plugins).item if self.label_map else ()
            self.names = {item.label or 0: item.display_name or item.name or "" for item in items}
        suffix = self.path.suffix if self.path.suffix.lower() in SUFFIXES else ".png"
        for image, rows in zip(images, detections, strict=True):
            self.count += 1
            picture = draw(pixels(image, self.transformation), rows[rows[:, 1] >= self.threshold], self.names)
            save(picture, self.path.with_name(f"{self.path.stem}_{self.count:06}{suffix}"))


def pixels(image: npt.NDArray[Any], transformation: Any) -> npt.NDArray[np.uint8]:
    """The picture that a data layer's output was made from: image / scale + mean, in the order of OpenCV.

    Args:
        image: C×H×W with one or three channels.
        transformation: the TransformationParameter, of which scale and mean_value count.
    """
    shown = image.astype(np.float64) / (transformation.scale or 1)
    if transformation.mean_value:
        shown = shown + np.resize(transformation.mean_value, len(shown))[:, None, None]
    return np.ascontiguousarray(np.clip(np.rint(shown), 0, 255).astype(np.uint8).transpose(1, 2, 0))


def draw(picture: npt.NDArray[np.uint8], rows: npt.NDArray[Any], names: dict[int, str]) -> npt.NDArray[np.uint8]:
    """The picture with a box and a caption for each detection, the best on top.

    Args:
        picture: H×W×C.
        rows: (class, score, xmin, ymin, xmax, ymax), the box in fractions of the picture.
        names: names of classes; one without a name is shown by its number.
    """
    from cafx_lib_feed.images import cv2

    drawn = np.repeat(picture, 3 // picture.shape[2], axis=2)
    height, width = drawn.shape[:2]
    for label, score, *box in rows[np.argsort(rows[:, 1], kind="stable")].tolist():
        corners = np.clip(box, 0, 1) * np.array([width, height] * 2)
        left, top, right, bottom = (int(value) for value in corners)
        colour = COLOURS[int(label) % len(COLOURS)]
        cv2().rectangle(drawn, (left, top), (right, bottom), colour, LINE)
        caption = f"{names.get(int(label), int(label))}: {score:.2f}"
        cv2().putText(drawn, caption, (left, max(12, top - 4)), cv2().FONT_HERSHEY_SIMPLEX, TEXT, colour, 1)
    return drawn


def save(picture: npt.NDArray[np.uint8], path: Path) -> None:
    """Write a picture in the format of its suffix.

    Args:
        picture: H×W×3.
        path: the file.

    Raises:
        CafxError: the file cannot be written.
    """
    from cafx_lib_feed.images import encode

    with atomic_write(path) as file:
        file.write(encode(picture, path.suffix, str(path)))
