"""Images and arrays on their way in and out: pycaffe's ``caffe.io``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.proto import caffe_pb2
from caffe.resample import resize_pixels, resize_points
from cafx.kernel import schema
from cafx.kernel.blob import proto_shape

Array = npt.NDArray[Any]
LUMINANCE = np.array([0.2125, 0.7154, 0.0721], np.float32)


def blobproto_to_array(blob: Any, return_diff: bool = False) -> Array:
    """The values (or gradients) of a BlobProto."""
    values = blob.diff if return_diff else blob.data
    return np.array(values, float).reshape(proto_shape(blob))


def array_to_blobproto(arr: npt.ArrayLike, diff: npt.ArrayLike | None = None) -> Any:
    """A BlobProto of values and, if given, gradients."""
    array = np.asarray(arr)
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(array.shape)
    blob.data.extend(array.astype(float).ravel())
    if diff is not None:
        blob.diff.extend(np.asarray(diff).astype(float).ravel())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Sequence[npt.ArrayLike]) -> bytes:
    """Arrays as the bytes of a BlobProtoVector."""
    vector = caffe_pb2.BlobProtoVector()
    vector.blobs.extend([array_to_blobproto(array) for array in arraylist])
    encoded: bytes = vector.SerializeToString()
    return encoded


def blobprotovector_str_to_arraylist(encoded: bytes) -> list[Array]:
    """The reverse of `arraylist_to_blobprotovector_str`."""
    vector = schema().parse_bytes(encoded, "BlobProtoVector")
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: npt.ArrayLike, label: int | None = None) -> Any:
    """A Datum of a C×H×W array: bytes of uint8, else floats."""
    array = np.asarray(arr)
    if array.ndim != 3:
        raise ValueError(f"a Datum holds three axes, not {array.ndim}")
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = array.shape
    if array.dtype == np.uint8:
        datum.data = array.tobytes()
    else:
        datum.float_data.extend(array.astype(float).ravel())
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: Any) -> Array:
    """The C×H×W array in a Datum (its label is ``datum.label``)."""
    shape = datum.channels, datum.height, datum.width
    if datum.data:
        return np.frombuffer(datum.data, np.uint8).reshape(shape)
    return np.array(datum.float_data, float).reshape(shape)


def load_image(filename: str | PathLike[str], color: bool = True) -> Array:
    """An image file as H×W×3 (or ×1) of float32 from 0 to 1, channels in the order RGB."""
    from cafx_lib_feed.images import decode, read_bytes

    stored = decode(read_bytes(filename), None, f"'{filename}'").astype(np.float32) / 255
    image = stored[:, :, 2::-1] if stored.shape[2] >= 3 else stored[:, :, :1]
    if color:
        image = np.broadcast_to(image, (*image.shape[:2], 3))
    elif image.shape[2] > 1:
        image = (image @ LUMINANCE)[:, :, np.newaxis]
    return np.ascontiguousarray(image)


def resize_image(im: Array, new_dims: Sequence[int], interp_order: int = 1) -> Array:
    """H×W×C resized to ``new_dims`` (height, width), interpolated with splines of that order."""
    rows, columns = (int(length) for length in new_dims[:2])
    image = im.astype(np.float64)
    if im.shape[-1] not in (1, 3):
        return resize_points(image, (rows, columns), interp_order).astype(np.float32)
    low, high = image.min(), image.max()
    if high <= low:
        return np.full((rows, columns, im.shape[-1]), low, np.float32)
    resized = resize_pixels((image - low) / (high - low), (rows, columns), interp_order)
    restored: Array = np.clip(resized, 0, 1) * (high - low) + low
    return restored.astype(np.float32)


def oversample(images: Sequence[Array] | Array, crop_dims: Sequence[int] | Array) -> Array:
    """Ten crops of each image: the corners and the centre, and these mirrored."""
    height, width = (int(length) for length in crop_dims)
    crops = []
    for image in images:
        bottom, right = image.shape[0] - height, image.shape[1] - width
        corners = [(y, x) for y in (0, bottom) for x in (0, right)]
        centre = (int(image.shape[0] / 2.0 - height / 2.0), int(image.shape[1] / 2.0 - width / 2.0))
        pieces = [image[y : y + height, x : x + width] for y, x in (*corners, centre)]
        crops += pieces + [piece[:, ::-1] for piece in pieces]
    return np.array(crops, np.float32).reshape(-1, height, width, images[0].shape[-1])


class Transformer:
    """From images to a net's inputs and back.

    Args:
        inputs: the shape of each input blob (batch, channels, height, width).

    Attributes:
        transpose, channel_swap, raw_scale, mean, input_scale: what is set, by input.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: Array) -> Array:
        """One image as the input ``in_`` takes it: resize, transpose, swap, scale, mean, scale."""
        self._check_input(in_)
        dims = self.inputs[in_][2:]
        image = np.array(data, np.float32)
        if image.shape[:2] != dims:
            image = resize_image(image, dims)
        if in_ in self.transpose:
            image = image.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            image = image[list(self.channel_swap[in_])]
        if in_ in self.raw_scale:
            image *= self.raw_scale[in_]
        if in_ in self.mean:
            image -= self.mean[in_]
        if in_ in self.input_scale:
            image *= self.input_scale[in_]
        return image

    def deprocess(self, in_: str, data: Array) -> Array:
        """The reverse of `preprocess`, short of the resizing."""
        self._check_input(in_)
        image = np.array(data).squeeze()
        if in_ in self.input_scale:
            image /= self.input_scale[in_]
        if in_ in self.mean:
            image += self.mean[in_]
        if in_ in self.raw_scale:
            image /= self.raw_scale[in_]
        if in_ in self.channel_swap:
            image = image[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            image = image.transpose(np.argsort(self.transpose[in_]))
        return image

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """The order of an image's axes in the input: (2, 0, 1) for channels first."""
        self._check_input(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise ValueError(f"transpose takes {len(self.inputs[in_]) - 1} axes, not {len(order)}")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """The order of an image's channels in the input: (2, 1, 0) for RGB to BGR."""
        self._check_input(in_)
        if len(order) != self.inputs[in_][1]:
            raise ValueError(f"channel_swap takes {self.inputs[in_][1]} channels, not {len(order)}")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """A factor before the mean is taken off: 255 for images from 0 to 1."""
        self._check_input(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: Array) -> None:
        """What is taken off: one value a channel, or an array of the input's shape."""
        self._check_input(in_)
        shape = self.inputs[in_][1:]
        if mean.ndim == 1:
            if len(mean) != shape[0]:
                raise ValueError(f"a mean of {len(mean)} values for {shape[0]} channels")
            mean = mean[:, np.newaxis, np.newaxis]
        else:
            mean = mean[np.newaxis] if mean.ndim == 2 else mean
            if mean.ndim != 3:
                raise ValueError(f"a mean has three axes, not {mean.ndim}")
            if mean.shape != shape:
                mean = resize_image(mean.transpose(1, 2, 0), shape[1:]).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """A factor after the mean is taken off."""
        self._check_input(in_)
        self.input_scale[in_] = scale

    def _check_input(self, name: str) -> None:
        if name not in self.inputs:
            raise ValueError(f"'{name}' is not an input: one of {', '.join(self.inputs)}")
