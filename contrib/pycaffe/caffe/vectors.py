"""A layer of a net, and lists under the names of the C++ vectors that ``caffe._caffe`` exports."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Layer


class BlobVec(list[Any]):
    """The parameters of a layer: a list of `caffe.Blob`."""


class RawBlobVec(list[Any]):
    """Bottoms or tops of a layer."""


class LayerVec(list[Any]):
    """The layers of a net."""


class NetVec(list[Any]):
    """The test nets of a solver."""


class StringVec(list[str]):
    """Names."""


class IntVec(list[int]):
    """Indices."""


class DtypeVec(list[float]):
    """Values."""


class BoolVec(list[bool]):
    """Flags."""


class LayerView:
    """A layer of a net.

    Attributes:
        type: layer type.
        blobs: its parameters.
    """

    def __init__(self, layer: Layer, blobs: BlobVec) -> None:
        self._layer = layer
        self.type = layer.type
        self.blobs = blobs

    def __repr__(self) -> str:
        return f"<layer '{self._layer.name}' ({self.type})>"
