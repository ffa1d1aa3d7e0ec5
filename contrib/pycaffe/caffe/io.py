"""Conversion of arrays and images: pycaffe's ``caffe.io``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.arguments import ArgumentError, shaped
from caffe.proto import caffe_pb2
from cafx.kernel import schema
from cafx.kernel.blob import proto_shape
from cafx_lib_preprocessing import resize_image

Array = npt.NDArray[Any]
LUMINANCE = np.array([0.2125, 0.7154, 0.0721], np.float32)


def blobproto_to_array(blob: Any, return_diff: bool = False) -> Array:
    """Convert the values (or gradients) of a BlobProto to an array."""
    values = blob.diff if return_diff else blob.data
    return shaped(np.array(values, float), proto_shape(blob), "the BlobProto")


def array_to_blobproto(arr: npt.ArrayLike, diff: npt.ArrayLike | None = None) -> Any:
    """Convert values, and gradients if given, to a BlobProto."""
    array = np.asarray(arr)
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(array.shape)
    blob.data.extend(array.astype(float).ravel())
    if diff is not None:
        blob.diff.extend(np.asarray(diff).astype(float).ravel())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Sequence[npt.ArrayLike]) -> bytes:
    """Serialise arrays as a BlobProtoVector."""
    vector = caffe_pb2.BlobProtoVector()
    vector.blobs.extend([array_to_blobproto(array) for array in arraylist])
    encoded: bytes = vector.SerializeToString()
    return encoded


def blobprotovector_str_to_arraylist(encoded: bytes) -> list[Array]:
    """Parse arrays from a serialised BlobProtoVector."""
    vector = schema().parse_bytes(encoded, "BlobProtoVector")
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: npt.ArrayLike, label: int | None = None) -> Any:
    """Convert a C×H×W array to a Datum; values other than uint8 are stored as floats.

    Raises:
        ArgumentError: the array does not have three axes.
    """
    array = np.asarray(arr)
    if array.ndim != 3:
        raise ArgumentError(f"a Datum has three axes, got {array.ndim}")
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
    """Convert a Datum to a C×H×W array; its label is ``datum.label``.

    An encoded image is decoded; its channels are in the order BGR.

    Raises:
        CafxError: the encoded image cannot be decoded.
        ArgumentError: the Datum has no shape, or another number of values.
    """
    if datum.encoded:
        from cafx_lib_feed.images import decode

        return np.ascontiguousarray(decode(datum.data, None, "the image of the Datum").transpose(2, 0, 1))
    shape = datum.channels, datum.height, datum.width
    if datum.data:
        return shaped(np.frombuffer(datum.data, np.uint8), shape, "the Datum")
    return shaped(np.array(datum.float_data, float), shape, "the Datum")


def load_image(filename: str | PathLike[str], color: bool = True) -> Array:
    """Load an image file.

    Args:
        filename: the file.
        color: load three channels (RGB), else one (luminance).

    Returns:
        float32 array of shape H×W×3 or H×W×1, with values from 0 to 1.

    Raises:
        CafxError: the file cannot be read or decoded.
    """
    from cafx_lib_feed.images import decode, read_bytes

    bgr = decode(read_bytes(filename), None, f"'{filename}'").astype(np.float32) / 255
    image = bgr[:, :, 2::-1] if bgr.shape[2] >= 3 else bgr[:, :, :1]
    if color:
        image = np.broadcast_to(image, (*image.shape[:2], 3))
    elif image.shape[2] > 1:
        image = (image @ LUMINANCE)[:, :, np.newaxis]
    return np.ascontiguousarray(image)


def oversample(images: Sequence[Array] | Array, crop_dims: Sequence[int] | Array) -> Array:
    """Crop the four corners and the centre of each image, and mirror these crops.

    Args:
        images: images of shape H×W×C.
        crop_dims: height and width of the crops.

    Returns:
        Array of shape 10N×height×width×C.
    """
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
    """Converts images to a net's inputs and back.

    Args:
        inputs: shape of each input blob (batch, channels, height, width), by name.

    Attributes:
        transpose, channel_swap, raw_scale, mean, input_scale: the settings, by input.

    Raises:
        ArgumentError: all methods raise it for an unknown input.

    Example:
        >>> transformer = Transformer({"data": (1, 3, 8, 8)})
        >>> transformer.set_transpose("data", (2, 0, 1))
        >>> transformer.preprocess("data", np.zeros((16, 16, 3))).shape
        (3, 8, 8)
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: Array) -> Array:
        """Convert an image to input ``in_``.

        In this order: resize, transpose, swap channels, multiply by the raw scale, subtract the mean,
        multiply by the input scale.

        Args:
            in_: name of the input.
            data: the image, H×W×C; not modified.
        """
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
        """Invert `preprocess`, except for resizing."""
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
        """Set the order of axes: (2, 0, 1) to convert H×W×C to C×H×W."""
        self._check_input(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise ArgumentError(f"wrong number of axes: got {len(order)}, expected {len(self.inputs[in_]) - 1}")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of channels: (2, 1, 0) to convert RGB to BGR."""
        self._check_input(in_)
        if len(order) != self.inputs[in_][1]:
            raise ArgumentError(f"wrong number of channels: got {len(order)}, expected {self.inputs[in_][1]}")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Set the factor applied before mean subtraction, such as 255 for images from 0 to 1."""
        self._check_input(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: Array) -> None:
        """Set the mean: one value per channel, or a mean image, which is resized if necessary."""
        self._check_input(in_)
        shape = self.inputs[in_][1:]
        if mean.ndim == 1:
            if len(mean) != shape[0]:
                raise ArgumentError(f"wrong number of mean values: got {len(mean)}, expected {shape[0]}")
            mean = mean[:, np.newaxis, np.newaxis]
        else:
            mean = mean[np.newaxis] if mean.ndim == 2 else mean
            if mean.ndim != 3:
                raise ArgumentError(f"wrong number of axes of the mean: got {mean.ndim}, expected 1, 2 or 3")
            if mean.shape != shape:
                mean = resize_image(mean.transpose(1, 2, 0), shape[1:]).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Set the factor applied after mean subtraction."""
        self._check_input(in_)
        self.input_scale[in_] = scale

    def _check_input(self, name: str) -> None:
        if name not in self.inputs:
            raise ArgumentError(f"'{name}' is not an input; expected one of {', '.join(self.inputs)}")
