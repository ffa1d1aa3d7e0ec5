"""Classifier: a net that assigns scores to images, one per class."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from caffe.io import Array, Transformer, oversample, resize_image
from caffe.modes import TEST
from caffe.net import Net


def image_transformer(
    net: Net, mean: Array | None, input_scale: float | None, raw_scale: float | None, channel_swap: Sequence[int] | None
) -> Transformer:
    """A Transformer from H×W×C images to a net's first input.

    Args:
        net: the net.
        mean, input_scale, raw_scale, channel_swap: see `caffe.io.Transformer`; None for none.
    """
    name = net.inputs[0]
    transformer = Transformer({name: net.blobs[name].shape})
    transformer.set_transpose(name, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(name, mean)
    if input_scale is not None:
        transformer.set_input_scale(name, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(name, channel_swap)
    return transformer


class Classifier(Net):
    """A net that classifies images.

    Args:
        model_file, pretrained_file: prototxt and caffemodel.
        image_dims: height and width to resize images to before cropping (default: the net's input size).
        mean, input_scale, raw_scale, channel_swap: see `caffe.io.Transformer`; None for none.

    Raises:
        CafxError: a file is missing or not valid.
    """

    def __init__(
        self,
        model_file: str | PathLike[str],
        pretrained_file: str | PathLike[str],
        image_dims: Sequence[int] | None = None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims: Any = image_dims or self.crop_dims

    def predict(self, inputs: Sequence[Array], oversample: bool = True) -> Array:
        """Score images.

        Args:
            inputs: images of shape H×W×C.
            oversample: average the scores of ten crops, instead of scoring the central crop only.

        Returns:
            Array of shape N×classes.
        """
        images = np.stack([resize_image(image, self.image_dims) for image in inputs])
        crops = _ten_crops(images, self.crop_dims) if oversample else self._central_crops(images)
        name = self.inputs[0]
        data = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        scores = self.forward_all(None, **{name: data})[self.outputs[0]]
        if oversample:
            scores = scores.reshape(len(scores) // 10, 10, -1).mean(1)
        return scores

    def _central_crops(self, images: Array) -> Array:
        begin = (np.array(self.image_dims) / 2.0 - self.crop_dims / 2.0).astype(int)
        end = begin + self.crop_dims
        return images[:, begin[0] : end[0], begin[1] : end[1], :]


_ten_crops = oversample  # the parameter of `predict` has the same name
