"""Lists under the names of the C++ vectors that ``caffe._caffe`` exports."""

from __future__ import annotations

from typing import Any


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
