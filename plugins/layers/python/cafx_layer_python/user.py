"""What a user's class derives from and is handed: pycaffe's view of a layer and its blobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from cafx.kernel import HOST, Blob, Layer, SyncedArray


class PlainBlob:
    """A blob as a user's class sees it: writable NumPy arrays ``data`` and ``diff``, and its shape."""

    def __init__(self, blob: Blob) -> None:
        self.blob = blob

    def _array(self, values: SyncedArray) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = values.write(HOST)
        return array.reshape(self.blob.shape)

    def _legacy(self, axis: int) -> int:
        return self.blob.shape[axis] if axis < self.blob.num_axes else 1

    data = property(lambda self: self._array(self.blob.synced_data), doc="The values.")
    diff = property(lambda self: self._array(self.blob.synced_diff), doc="The gradient.")
    shape = property(lambda self: self.blob.shape, doc="The length of each axis.")
    count = property(lambda self: self.blob.count(), doc="The number of values.")
    num = property(lambda self: self._legacy(0), doc="The length of the first axis.")
    channels = property(lambda self: self._legacy(1), doc="Of the second; 1 where there is none.")
    height = property(lambda self: self._legacy(2), doc="Of the third; 1 where there is none.")
    width = property(lambda self: self._legacy(3), doc="Of the fourth; 1 where there is none.")

    def reshape(self, *shape: int) -> None:
        """Take another shape."""
        self.blob.reshape(*shape)


class ParameterBlobs(Sequence[Any]):
    """A layer's parameters as a user's class sees them, in ``self.blobs``."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    def __len__(self) -> int:
        return len(self._layer.blobs)

    def __getitem__(self, index: Any) -> Any:
        found = self._layer.blobs[index]
        return [PlainBlob(blob) for blob in found] if isinstance(found, list) else PlainBlob(found)

    def add_blob(self, *shape: int) -> None:
        """Make another parameter, zero everywhere."""
        layer = self._layer
        layer.blobs.append(layer.context.blob(shape, f"{layer.name}.{len(layer.blobs)}"))
        layer.param_propagate_down.append(True)


class UserLayer:
    """The base of users' classes: pycaffe's ``caffe.Layer``.

    Attributes:
        param_str: the text of the layer's python_param.
        phase: 0 in training, 1 in tests.
        blobs: its parameters; ``self.blobs.add_blob(*shape)`` in `setup` makes one.
    """

    type = "Python"
    param_str: str
    phase: int
    blobs: ParameterBlobs

    def __init__(self, layer_param: Any, *_: Any) -> None:
        """Made by the net, from the layer's LayerParameter."""

    def setup(self, bottom: list[PlainBlob], top: list[PlainBlob]) -> None:
        """Once: check the number of blobs, read param_str, make parameters."""

    def reshape(self, bottom: list[PlainBlob], top: list[PlainBlob]) -> None:
        """Before every forward: give the tops their shapes."""
        raise NotImplementedError("the class has no reshape")

    def forward(self, bottom: list[PlainBlob], top: list[PlainBlob]) -> None:
        """Write the tops' data."""
        raise NotImplementedError("the class has no forward")

    def backward(self, top: list[PlainBlob], propagate_down: list[bool], bottom: list[PlainBlob]) -> None:
        """Write the diff of each bottom asked for."""
        if any(propagate_down):
            raise NotImplementedError("the class has no backward")


class Times(UserLayer):
    """An example of a user's class: yᵢ = c xᵢ for each bottom, where param_str is c."""

    def setup(self, bottom: list[PlainBlob], top: list[PlainBlob]) -> None:
        """Read c."""
        self.factor = float(self.param_str or 1)

    def reshape(self, bottom: list[PlainBlob], top: list[PlainBlob]) -> None:
        """Each top has its bottom's shape."""
        for x, y in zip(bottom, top, strict=True):
            y.reshape(*x.shape)

    def forward(self, bottom: list[PlainBlob], top: list[PlainBlob]) -> None:
        """y = c x."""
        for x, y in zip(bottom, top, strict=True):
            y.data[...] = self.factor * x.data

    def backward(self, top: list[PlainBlob], propagate_down: list[bool], bottom: list[PlainBlob]) -> None:
        """dx = c dy."""
        for x, y, wanted in zip(bottom, top, propagate_down, strict=True):
            if wanted:
                x.diff[...] = self.factor * y.diff
