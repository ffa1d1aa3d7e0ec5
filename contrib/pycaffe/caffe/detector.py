"""Detector: a net that scores windows of images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import numpy as np

from caffe import io
from caffe.classifier import image_transformer
from caffe.io import Array
from caffe.modes import TEST
from caffe.net import Net

Window = Sequence[int]


class Detector(Net):
    """A net that scores windows.

    Args:
        model_file, pretrained_file: prototxt and caffemodel.
        mean, input_scale, raw_scale, channel_swap: see `caffe.io.Transformer`; None for none.
        context_pad: pixels of context on each side of a window, in the net's input.

    Raises:
        CafxError: a file is missing or not valid.
    """

    def __init__(
        self,
        model_file: str | PathLike[str],
        pretrained_file: str | PathLike[str],
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows: Iterable[tuple[str, Iterable[Window]]]) -> list[dict[str, Any]]:
        """Score windows of image files.

        Args:
            images_windows: pairs of a file name and its windows (ymin, xmin, ymax, xmax).

        Returns:
            A dict of ``window``, ``prediction`` and ``filename`` per window.

        Raises:
            CafxError: an image cannot be read.
        """
        detections = []
        crops = []
        for filename, windows in images_windows:
            image = io.load_image(filename).astype(np.float32)
            for window in windows:
                crops.append(self.crop(image, window))
                detections.append({"window": window, "filename": filename})
        if not detections:
            return []
        name = self.inputs[0]
        data = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        scores = self.forward_all(None, **{name: data})[self.outputs[0]]
        scores = scores.reshape(len(scores), -1) if scores.ndim > 2 else scores
        for detection, score in zip(detections, scores, strict=True):
            detection["prediction"] = score
        return detections

    def detect_selective_search(self, image_fnames: Iterable[str | PathLike[str]]) -> list[dict[str, Any]]:
        """Score the windows that selective search finds in image files; the same files give the same windows.

        Args:
            image_fnames: the files.

        Returns:
            A dict of ``window``, ``prediction`` and ``filename`` per window.

        Raises:
            CafxError: an image cannot be read, or OpenCV's contributed modules are not installed.
        """
        from cafx_lib_inputs import selective_search as windows

        names = [str(name) for name in image_fnames]
        return self.detect_windows([(name, windows(_bgr(io.load_image(name)))) for name in names])

    def crop(self, im: Array, window: Window) -> Array:
        """Crop a window (ymin, xmin, ymax, xmax) from an H×W×C image.

        With ``context_pad``, the crop includes context and is resized to the net's input size; pixels outside
        the image have the mean value.
        """
        box = np.asarray(window)
        crop: Array = im[box[0] : box[2], box[1] : box[3]]
        if not self.context_pad:
            return crop
        size = self.blobs[self.inputs[0]].width
        scale = size / (size - 2.0 * self.context_pad)
        half = (box[2:] - box[:2] + 1) / 2.0
        centre = box[:2] + half
        enlarged = np.round(np.concatenate([centre - scale * half, centre + scale * half])).astype(int)
        scale_y, scale_x = size / (enlarged[2] - enlarged[0] + 1), size / (enlarged[3] - enlarged[1] + 1)
        begin = np.round(np.maximum(0, -enlarged[:2]) * (scale_y, scale_x)).astype(int)
        inside = np.clip(enlarged, 0, (im.shape[0], im.shape[1]) * 2)
        visible = im[inside[0] : inside[2], inside[1] : inside[3]]
        shape = np.minimum(np.round(visible.shape[:2] * np.array((scale_y, scale_x))).astype(int), size - begin)
        padded: Array = np.ones((size, size, im.shape[2]), np.float32) * self.crop_mean
        if shape.min() > 0:
            area = tuple(slice(b, b + length) for b, length in zip(begin, shape, strict=True))
            padded[area] = io.resize_image(visible, shape)
        return padded

    def configure_crop(self, context_pad: int | None) -> None:
        """Set the pixels of context around windows, and the value of pixels outside the image: the mean."""
        self.context_pad = context_pad
        if not context_pad:
            return
        name, transformer = self.inputs[0], self.transformer
        if name not in transformer.mean:
            self.crop_mean: Any = 0
            return
        mean = transformer.mean[name].mean((1, 2)) / transformer.raw_scale.get(name, 1)
        swap = transformer.channel_swap.get(name)
        self.crop_mean = mean if swap is None else mean[np.argsort(swap)]


def _bgr(image: Array) -> Array:
    """An image of `caffe.io.load_image` as uint8, in the order BGR."""
    return np.ascontiguousarray(np.round(image[:, :, ::-1] * 255).astype(np.uint8))
