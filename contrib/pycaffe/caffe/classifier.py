"""Classifier: a net that assigns scores to images, one per class."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from caffe import glog
from caffe.io import Array, Transformer, oversample, resize_image
from caffe.modes import TEST
from caffe.net import Net
from cafx.kernel import CafxError
from cafx_lib_preprocessing import Converter, Preprocessing, read_preprocessing


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
        preprocessing: instead of those, a record as cafx's commands use it: a `Preprocessing`, or the name of a file
            or folder that has one. The scores then are those of ``cafx classify``.

    Raises:
        CafxError: a file is missing or not valid, or settings are given beside a record.
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
        preprocessing: Preprocessing | str | PathLike[str] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        settings = (image_dims, mean, input_scale, raw_scale, channel_swap)
        if preprocessing is not None and any(each is not None for each in settings):
            raise CafxError("Classifier has two kinds of settings", remedy="give the preprocessing alone")
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims: Any = image_dims or self.crop_dims
        self._record: Preprocessing | None = None
        if preprocessing is not None:
            read = preprocessing if isinstance(preprocessing, Preprocessing) else read_preprocessing(preprocessing)
            self._record = read.for_input(self.blobs[self.inputs[0]].shape, str(model_file))
            glog.log(f"preprocessing: {self._record.describe()}")

    @property
    def preprocessing(self) -> Preprocessing:
        """What happens to images, as a record that ``cafx classify --preprocessing`` and ``cafx serve`` read.

        Raises:
            CafxError: channels are swapped in another way than between RGB and BGR.
        """
        if self._record is not None:
            return self._record
        record: Preprocessing = Preprocessing.from_transformer(self.transformer, self.inputs[0], self.image_dims)
        return record

    def predict(self, inputs: Sequence[Array], oversample: bool = True) -> Array:
        """Score images.

        Args:
            inputs: images of shape H×W×C, as `caffe.io.load_image` returns them.
            oversample: average the scores of ten crops, instead of scoring the central crop only. With a record of
                preprocessing, that decides.

        Returns:
            Array of shape N×classes.
        """
        name = self.inputs[0]
        if self._record is not None:
            converter, oversample = Converter(self._record), self._record.oversample
            data = np.concatenate([converter.apply(_pixels(image)) for image in inputs])
        else:
            images = np.stack([resize_image(image, self.image_dims) for image in inputs])
            crops = _ten_crops(images, self.crop_dims) if oversample else self._central_crops(images)
            data = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        scores = self.forward_all(None, **{name: data})[self.outputs[0]]
        if oversample:
            scores = scores.reshape(len(scores) // 10, 10, -1).mean(1)
        return scores

    def _central_crops(self, images: Array) -> Array:
        begin = (np.array(self.image_dims) / 2.0 - self.crop_dims / 2.0).astype(int)
        end = begin + self.crop_dims
        return images[:, begin[0] : end[0], begin[1] : end[1], :]


def _pixels(image: Array) -> Array:
    """An image of `caffe.io.load_image` as uint8, BGR or of one channel."""
    return np.ascontiguousarray(np.round(image[:, :, ::-1] * 255).astype(np.uint8))


_ten_crops = oversample  # the parameter of `predict` has the same name
