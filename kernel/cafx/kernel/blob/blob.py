"""Blob: an N-dimensional array with data and diff."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel.blob.place import HOST, Place
from cafx.kernel.blob.synced import SyncedArray, host_copy
from cafx.kernel.errors import CafxError
from cafx.kernel.registry import registry
from cafx.kernel.roles import html_of

MAX_AXES = 32
MAX_COUNT = 2**31 - 1
Shape = tuple[int, ...]


class Blob:
    """An N-dimensional array with its gradient: the bottoms, tops and parameters of layers.

    Memory is allocated on first use, in each place where the values are read or written.

    Args:
        shape: length of each axis; () is a scalar.
        dtype: float32, or float64 for gradient checks.
        place: where `data` and `diff` are read and written: the host, or an engine's place.
        name: used in error messages.

    Attributes:
        shape: length of each axis.
        count_: number of values.
        dtype: type of the values.
        place: where `data` and `diff` are read and written.
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

    def _repr_html_(self) -> str | None:
        return html_of(self, registry())

    def __repr__(self) -> str:
        return f"Blob({self.name or 'unnamed'}: {shape_text(self.shape)} {self.dtype})"

    @property
    def data(self) -> Any:
        """The values, for reading; on the host, a read-only array."""
        return self._view(self._data.read(self.place), 0, False)

    @property
    def mutable_data(self) -> Any:
        """The values, for writing; copies in other places become stale."""
        return self._view(self._data.write(self.place), 0, True)

    @property
    def diff(self) -> Any:
        """The gradient, for reading; on the host, a read-only array."""
        return self._view(self._diff.read(self.place), 3, False)

    @property
    def mutable_diff(self) -> Any:
        """The gradient, for writing; copies in other places become stale."""
        return self._view(self._diff.write(self.place), 3, True)

    @property
    def synced_data(self) -> SyncedArray:
        """The values in all places."""
        return self._data

    @property
    def synced_diff(self) -> SyncedArray:
        """The gradient in all places."""
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
        """Product of the lengths of some axes.

        Args:
            start: first axis.
            end: the axis after the last one; None for all from ``start``.

        Example:
            >>> Blob((2, 3, 4)).count(1)
            12
        """
        return math.prod(self.shape[start:end])

    def axis(self, index: int) -> int:
        """The non-negative index of an axis.

        Args:
            index: index of the axis; negative from the end.

        Raises:
            CafxError: there is no such axis.

        Example:
            >>> Blob((2, 3, 4)).axis(-1)
            2
        """
        if not -self.num_axes <= index < self.num_axes:
            raise CafxError(
                f"blob '{self.name}' of shape {shape_text(self.shape)} has no axis {index}",
                expected=f"an axis from {-self.num_axes} to {self.num_axes - 1}" if self.shape else "axes",
            )
        return index % self.num_axes

    def reshape(self, *shape: int) -> None:
        """Change the shape; memory is reallocated only if it must grow.

        Args:
            shape: the new length of each axis; none for a scalar.

        Raises:
            CafxError: as the constructor.

        Example:
            >>> blob = Blob()
            >>> blob.reshape(2, 3)
            >>> blob.data.shape
            (2, 3)
        """
        if shape == self.shape and self._data.count == self._diff.count == self.count_:
            return
        self.shape = _checked_shape(shape, self.name)
        self.count_ = math.prod(self.shape)
        self._data.resize(self.count_)
        self._diff.resize(self.count_)
        self._views = [None] * 6

    def share_data(self, other: Blob) -> None:
        """Use the same memory for the values as another blob; shapes may differ.

        Args:
            other: the blob to share with.

        Raises:
            CafxError: the blobs have different numbers of values.

        Example:
            >>> rows, flat = Blob((2, 2)), Blob((4,))
            >>> flat.share_data(rows)
            >>> rows.set_data([[1, 2], [3, 4]])
            >>> flat.data.tolist()
            [1.0, 2.0, 3.0, 4.0]
        """
        self._check_same_count(other)
        self._data = other._data

    def share_diff(self, other: Blob) -> None:
        """Use the same memory for the gradient as another blob; shapes may differ.

        Args:
            other: the blob to share with.

        Raises:
            CafxError: the blobs have different numbers of values.

        Example:
            >>> rows, flat = Blob((2, 2)), Blob((4,))
            >>> flat.share_diff(rows)
            >>> rows.mutable_diff[...] = 1
            >>> flat.diff.tolist()
            [1.0, 1.0, 1.0, 1.0]
        """
        self._check_same_count(other)
        self._diff = other._diff

    def _check_same_count(self, other: Blob) -> None:
        if self.count_ != other.count_:
            raise CafxError(
                f"blob '{self.name}' cannot share memory with '{other.name}'",
                found=f"shapes {shape_text(self.shape)} and {shape_text(other.shape)}",
                expected="the same number of values",
            )

    def to_proto(self, proto: Any, diff: bool = False) -> Any:
        """Write shape and values to a message.

        Args:
            proto: a BlobProto, which is overwritten.
            diff: also write the gradient.

        Returns:
            The message.

        Example:
            >>> from cafx.kernel import schema
            >>> blob = Blob((2,))
            >>> blob.set_data([1, 2])
            >>> proto = blob.to_proto(schema()["BlobProto"]())
            >>> list(proto.shape.dim), list(proto.data)
            ([2], [1.0, 2.0])
        """
        proto.Clear()
        proto.shape.dim.extend(self.shape)
        double = self.dtype == np.float64
        (proto.double_data if double else proto.data).extend(host_copy(self._data))
        if diff:
            (proto.double_diff if double else proto.diff).extend(host_copy(self._diff))
        return proto

    def from_proto(self, proto: Any) -> None:
        """Read shape and values and, if present, the gradient from a message.

        Args:
            proto: a BlobProto.

        Raises:
            CafxError: the number of values does not match the shape.

        Example:
            >>> from cafx.kernel import schema
            >>> blob = Blob()
            >>> blob.from_proto(schema()["BlobProto"](shape={"dim": [2]}, data=[1, 2]))
            >>> blob.data.tolist()
            [1.0, 2.0]
        """
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
        """Copy values from the host.

        Args:
            values: an array with as many values as the blob, in row-major order; converted to its dtype.

        Raises:
            CafxError: the number of values differs, or they are not numbers.

        Example:
            >>> blob = Blob((2, 2))
            >>> blob.set_data([[1, 2], [3, 4]])
            >>> blob.data.tolist()
            [[1.0, 2.0], [3.0, 4.0]]
        """
        array = numbers(values, self.name)
        if array.size != self.count_:
            raise shape_mismatch(self.name, array.shape, self.shape)
        self._data.discard()
        self._data.write(HOST)[...] = array.reshape(-1)

    def host(self) -> npt.NDArray[Any]:
        """A copy of the values as a NumPy array."""
        return host_copy(self._data).reshape(self.shape)

    def host_diff(self) -> npt.NDArray[Any]:
        """A copy of the gradient as a NumPy array."""
        return host_copy(self._diff).reshape(self.shape)


def shape_text(shape: Shape) -> str:
    """A shape for messages.

    Args:
        shape: length of each axis.

    Example:
        >>> shape_text((64, 3, 28, 28)), shape_text(())
        ('64×3×28×28', 'scalar')
    """
    return "×".join(map(str, shape)) if shape else "scalar"


def numbers(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """Values that a user gives as an array of real numbers.

    Args:
        values: the values.
        name: the blob they are for.

    Raises:
        CafxError: they are something else, or rows of several lengths.

    Example:
        >>> numbers([1, 2], "data").tolist()
        [1, 2]
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        kind = type(values).__name__ if array.dtype == object else str(array.dtype)
        raise CafxError(f"the values for blob '{name}' are not valid", found=kind, expected="an array of real numbers")
    return array


def shape_mismatch(name: str, found: Shape, expected: Shape) -> CafxError:
    """The error for an array whose shape does not match that of a blob.

    Args:
        name: name of the blob.
        found: shape of the array.
        expected: shape of the blob.
    """
    return CafxError(f"shape mismatch at blob '{name}'", found=shape_text(found), expected=shape_text(expected))


def proto_shape(proto: Any) -> Shape:
    """The shape in a message.

    Args:
        proto: a BlobProto with ``shape`` or the legacy fields ``num``, ``channels``, ``height`` and ``width``.

    Example:
        >>> from cafx.kernel import schema
        >>> proto_shape(schema()["BlobProto"](num=1, channels=1, height=2, width=3))
        (1, 1, 2, 3)
    """
    if any(proto.HasField(name) for name in ("num", "channels", "height", "width")):
        return proto.num, proto.channels, proto.height, proto.width
    return tuple(proto.shape.dim)


def same_shape(shape: Shape, other: Shape) -> bool:
    """Whether two shapes are equal, or ``other`` is ``shape`` padded to four axes with leading ones.

    Args:
        shape: shape of a blob.
        other: shape in a file.

    Example:
        >>> same_shape((10, 5), (1, 1, 10, 5)), same_shape((10, 5), (5, 10))
        (True, False)
    """
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
