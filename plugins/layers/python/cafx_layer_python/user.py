"""pycaffe's interface: the base class of users' layers, and the blobs passed to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from cafx.kernel import HOST, Blob, Layer, SyncedArray


class PlainBlob:
    """A blob with pycaffe's interface: writable NumPy arrays ``data`` and ``diff``, and its shape."""

    def __init__(self, blob: Blob) -> None:
        self.blob = blob

    def _array(self, values: SyncedArray) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = values.write(HOST)
        return array.reshape(self.blob.shape)

    def _legacy(self, axis: int) -> int:
        return self.blob.shape[axis] if axis < self.blob.num_axes else 1

    data = property(lambda self: self._array(self.blob.synced_data), doc="The values.")
    diff = property(lambda self: self._array(self.blob.synced_diff), doc="The gradient.")
    shape = property(lambda self: self.blob.shape, doc="Length of each axis.")
    count = property(lambda self: self.blob.count(), doc="Number of values.")
    num = property(lambda self: self._legacy(0), doc="Length of axis 0; 1 if there is none.")
    channels = property(lambda self: self._legacy(1), doc="Length of axis 1; 1 if there is none.")
    height = property(lambda self: self._legacy(2), doc="Length of axis 2; 1 if there is none.")
    width = property(lambda self: self._legacy(3), doc="Length of axis 3; 1 if there is none.")

    def reshape(self, *shape: int) -> None:
        """Change the shape."""
        self.blob.reshape(*shape)


class ParameterBlobs(Sequence[Any]):
    """A layer's parameters with pycaffe's interface: ``self.blobs`` of a user's layer."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    def __len__(self) -> int:
        return len(self._layer.blobs)

    def __getitem__(self, index: Any) -> Any:
        selected = self._layer.blobs[index]
        return [PlainBlob(blob) for blob in selected] if isinstance(selected, list) else PlainBlob(selected)

    def add_blob(self, *shape: int) -> None:
        """Append a parameter of the given shape, initialised to 0."""
        layer = self._layer
        layer.blobs.append(layer.context.blob(shape, f"{layer.name}.{len(layer.blobs)}"))
        layer.param_propagate_down.append(True)


class UserLayer:
    """Base class of users' layers: pycaffe's ``caffe.Layer``.

    Attributes:
        param_str: option ``param_str`` of the layer.
        param_str_: the same, under its name in Caffe before 2015.
        phase: 0 in TRAIN phase, 1 in TEST phase.
        blobs: parameters; ``self.blobs.add_blob(*shape)`` in `setup` creates one.
    """

    type = "Python"
    param_str: str
    phase: int
    blobs: ParameterBlobs
    param_str_ = property(lambda self: self.param_str, doc="The same as ``param_str``.")

    def __init__(self, layer_param: Any, *_: Any) -> None:
        """Called by the net with the layer's LayerParameter."""

    def setup(self, bottom: list[PlainBlob], top: list[PlainBlob]) -> None:
        """Called once: check the number of blobs, read ``param_str``, create parameters."""

    def reshape(self, bottom: list[PlainBlob], top: list[PlainBlob]) -> None:
        """Called before every forward pass: set the shapes of the tops."""
        raise NotImplementedError("the class has no reshape")

    def forward(self, bottom: list[PlainBlob], top: list[PlainBlob]) -> None:
        """Write the tops' data."""
        raise NotImplementedError("the class has no forward")

    def backward(self, top: list[PlainBlob], propagate_down: list[bool], bottom: list[PlainBlob]) -> None:
        """Write the diff of each bottom whose ``propagate_down`` is set."""
        if any(propagate_down):
            raise NotImplementedError("the class has no backward")


class Times(UserLayer):
    """Example of a user's layer: yᵢ = c xᵢ for each bottom, with c given by ``param_str``."""

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
        for x, y, needed in zip(bottom, top, propagate_down, strict=True):
            if needed:
                x.diff[...] = self.factor * y.diff
