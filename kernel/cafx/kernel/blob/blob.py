"""Blob: an N-dimensional array with data and diff."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel.blob.place import HOST, Place
from cafx.kernel.blob.synced import SyncedArray, host_copy
from cafx.kernel.errors import CafxError

MAX_AXES = 32
MAX_COUNT = 2**31 - 1
Shape = tuple[int, ...]


class Blob:
    """An N-dimensional array with ``data`` and ``diff``: what layers exchange and learn.

    Args:
        shape: length of each axis; () is a scalar.
        dtype: float32, or float64 for gradient checks.
        place: where `data` and `diff` are read and written: the host, or an engine's place.
        name: used in error messages.

    Raises:
        CafxError: a negative axis, more than 32 axes, or more than 2**31 - 1 values.

    Example:
        >>> from cafx.kernel import Blob
        >>> blob = Blob((2, 3), name="ip1")
        >>> blob.mutable_data[...] = 1
        >>> blob.data.sum(), blob.diff.shape
        (np.float32(6.0), (2, 3))
    """

    __slots__ = ("_data", "_diff", "_views", "count_", "dtype", "name", "place", "shape")

    def __init__(
        self, shape: Shape = (), dtype: npt.DTypeLike = np.float32, place: Place = HOST, name: str = ""
    ) -> None:
        self.name = name
        self.dtype = np.dtype(dtype)
        self.place = place
        self.shape: Shape = _checked_shape(shape, name)
        self.count_ = math.prod(self.shape)
        self._data = SyncedArray(self.count_, dtype)
        self._diff = SyncedArray(self.count_, dtype)
        self._views: list[Any] = [None] * 6

    def __repr__(self) -> str:
        return f"Blob({self.name or 'unnamed'}: {shape_text(self.shape)} {self.dtype})"

    @property
    def data(self) -> Any:
        """The values, for reading: a host array refuses writes."""
        return self._view(self._data.read(self.place), 0, False)

    @property
    def mutable_data(self) -> Any:
        """The values, for writing: other places' copies become stale."""
        return self._view(self._data.write(self.place), 0, True)

    @property
    def diff(self) -> Any:
        """The gradient, for reading."""
        return self._view(self._diff.read(self.place), 3, False)

    @property
    def mutable_diff(self) -> Any:
        """The gradient, for writing."""
        return self._view(self._diff.write(self.place), 3, True)

    @property
    def synced_data(self) -> SyncedArray:
        """The values with all their copies."""
        return self._data

    @property
    def synced_diff(self) -> SyncedArray:
        """The gradient with all its copies."""
        return self._diff

    def _view(self, flat: Any, slot: int, writable: bool) -> Any:
        views = self._views
        if views[slot] is not flat:
            shaped = flat.reshape(self.shape)
            views[slot], views[slot + 1] = flat, shaped
            views[slot + 2] = _read_only(shaped)
        return views[slot + 1] if writable else views[slot + 2]

    @property
    def num_axes(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def count(self, start: int = 0, end: int | None = None) -> int:
        """Number of values in the axes from ``start`` up to, not including, ``end``."""
        return math.prod(self.shape[start:end])

    def axis(self, index: int) -> int:
        """``index`` as a non-negative axis; CafxError if there is no such axis."""
        if not -self.num_axes <= index < self.num_axes:
            raise CafxError(
                f"blob '{self.name}' of shape {shape_text(self.shape)} has no axis {index}",
                expected=f"an axis from {-self.num_axes} to {self.num_axes - 1}" if self.shape else "axes",
            )
        return index % self.num_axes

    def reshape(self, *shape: int) -> None:
        """Change the shape; memory is reallocated only if it must grow."""
        if shape == self.shape and self._data.count == self._diff.count == self.count_:
            return
        self.shape = _checked_shape(shape, self.name)
        self.count_ = math.prod(self.shape)
        self._data.resize(self.count_)
        self._diff.resize(self.count_)
        self._views = [None] * 6

    def share_data(self, other: Blob) -> None:
        """Share the values of ``other``, which must have the same count."""
        self._check_same_count(other)
        self._data = other._data

    def share_diff(self, other: Blob) -> None:
        """Share the gradient of ``other``, which must have the same count."""
        self._check_same_count(other)
        self._diff = other._diff

    def _check_same_count(self, other: Blob) -> None:
        if self.count_ != other.count_:
            raise CafxError(
                f"blob '{self.name}' cannot share with '{other.name}'",
                found=f"{shape_text(self.shape)} and {shape_text(other.shape)}",
                expected="the same number of values",
            )

    def to_proto(self, proto: Any, diff: bool = False) -> Any:
        """Write the shape, the values and, with ``diff``, the gradient to a BlobProto message."""
        proto.Clear()
        proto.shape.dim.extend(self.shape)
        double = self.dtype == np.float64
        (proto.double_data if double else proto.data).extend(host_copy(self._data))
        if diff:
            (proto.double_diff if double else proto.diff).extend(host_copy(self._diff))
        return proto

    def from_proto(self, proto: Any) -> None:
        """Read shape and values from a BlobProto; CafxError if their counts differ."""
        shape = proto_shape(proto)
        self.reshape(*shape)
        values = proto.double_data or proto.data
        if len(values) not in (0, self.count_):
            raise CafxError(
                f"blob '{self.name}'", found=f"{len(values)} values", expected=f"{self.count_} ({shape_text(shape)})"
            )
        if len(values):
            self.set_data(np.array(values, self.dtype))
        gradient = proto.double_diff or proto.diff
        if len(gradient) == self.count_ and self.count_:
            self._diff.write(HOST)[...] = np.array(gradient, self.dtype)

    def set_data(self, values: npt.ArrayLike) -> None:
        """Copy values from the host, cast to this blob's type; CafxError if the counts differ."""
        array = np.asarray(values)
        if array.size != self.count_:
            raise shape_mismatch(self.name, array.shape, self.shape)
        self._data.discard()
        self._data.write(HOST)[...] = array.reshape(-1)

    def host(self) -> npt.NDArray[Any]:
        """A copy of the values as a plain NumPy array."""
        return host_copy(self._data).reshape(self.shape)

    def host_diff(self) -> npt.NDArray[Any]:
        """A copy of the gradient as a plain NumPy array."""
        return host_copy(self._diff).reshape(self.shape)


def shape_text(shape: Shape) -> str:
    """``64×3×28×28``, or ``scalar``."""
    return "×".join(map(str, shape)) if shape else "scalar"


def shape_mismatch(name: str, found: Shape, expected: Shape) -> CafxError:
    """The error for values that do not fit a blob."""
    return CafxError(f"shape mismatch at blob '{name}'", found=shape_text(found), expected=shape_text(expected))


def proto_shape(proto: Any) -> Shape:
    """The shape of a BlobProto, from ``shape`` or from the four numbers older files have."""
    if any(proto.HasField(name) for name in ("num", "channels", "height", "width")):
        return proto.num, proto.channels, proto.height, proto.width
    return tuple(proto.shape.dim)


def same_shape(shape: Shape, other: Shape) -> bool:
    """Whether two shapes agree, a four-axis one also with leading ones left out."""
    padded = [(1,) * (4 - len(each)) + tuple(each) for each in (shape, other)]
    return tuple(shape) == tuple(other) or (len(other) == 4 and padded[0] == padded[1])


def _checked_shape(shape: Shape, name: str) -> Shape:
    checked = tuple(int(length) for length in shape)
    if len(checked) > MAX_AXES:
        raise CafxError(f"blob '{name}'", found=f"{len(checked)} axes", expected=f"at most {MAX_AXES}")
    if any(length < 0 for length in checked):
        raise CafxError(f"blob '{name}'", found=shape_text(checked), expected="no negative axis")
    if math.prod(checked) > MAX_COUNT:
        raise CafxError(
            f"blob '{name}' is too large", found=shape_text(checked), expected=f"at most {MAX_COUNT} values"
        )
    return checked


def _read_only(array: Any) -> Any:
    if not isinstance(array, np.ndarray):
        return array
    view = array.view()
    view.flags.writeable = False
    return view
