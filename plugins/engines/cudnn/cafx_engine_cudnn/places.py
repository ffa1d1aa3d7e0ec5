"""Places of the engine: channels-last activations, and parameters in the order their products read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel.blob import HOST, Place
from cafx_engine_cudnn.precision import Precision
from cafx_engine_cupy.places import CUDA, CudaPlace
from cafx_engine_cupy.session import BLOCK


@attrs.frozen
class Extent:
    """The shape of a channels-last array.

    Attributes:
        images: N.
        channels: C.
        spatial: the further axes.
        padded: C rounded up.
    """

    images: int
    channels: int
    spatial: tuple[int, ...]
    padded: int

    @property
    def positions(self) -> int:
        """Positions of an image."""
        return math.prod(self.spatial)

    @property
    def rows(self) -> int:
        """Pixels: the array is a matrix of so many rows of ``padded`` values."""
        return self.images * self.positions

    @property
    def count(self) -> int:
        """Values, padding included."""
        return self.rows * self.padded

    @property
    def dims(self) -> tuple[int, int, int, int]:
        """N, padded C, H, W for cuDNN; fewer axes are filled up with ones."""
        height, width = (*self.spatial, 1, 1)[:2]
        return self.images, self.padded, height, width


class DevicePlace(CudaPlace):
    """A layout of its own on the GPU: what both kinds below share.

    Args:
        precision: session, type of the values and kernels.
    """

    value: np.dtype[Any]

    def __init__(self, precision: Precision) -> None:
        super().__init__(precision.session)
        self.precision = precision

    @property
    def size(self) -> int:
        """Values of an array, padding included."""
        raise NotImplementedError

    def nbytes(self, count: int, dtype: npt.DTypeLike) -> int:
        """Bytes of an array, padding included."""
        return self.size * self.value.itemsize

    def allocate(self, count: int, dtype: npt.DTypeLike) -> Any:
        """A zeroed array."""
        self.session.use()
        return self.session.cupy.zeros(self.size, self.value)

    def view(self, raw: Any, count: int, dtype: npt.DTypeLike) -> Any:
        """The array over bytes of a pool."""
        return raw.view(self.value)


class ChannelsLast(DevicePlace):
    """N × spatial × C, with C padded by zeros to whole accesses of 16 bytes.

    Whoever writes such an array writes the padding, too: always zeros.

    Args:
        precision: of the values.
        extent: the shape.
    """

    name = "cuda (channels last)"

    def __init__(self, precision: Precision, extent: Extent) -> None:
        super().__init__(precision)
        self.extent = extent
        self.value = precision.value

    @property
    def size(self) -> int:
        """Values of an array, padding included."""
        return self.extent.count

    def _plain(self) -> Any:
        return self.session.cupy.empty(self.extent.rows * self.extent.channels, np.float32)

    def from_host(self, host: npt.NDArray[Any], array: Any) -> None:
        """Copy to the GPU and reorder there."""
        if host.size:
            self.session.use()
            plain = self._plain()
            super().from_host(host, plain)
            self._reorder("to_channels_last", plain, array, self.extent.count)

    def to_host(self, array: Any, host: npt.NDArray[Any]) -> None:
        """Reorder on the GPU and copy back."""
        if host.size:
            self.session.use()
            plain = self._plain()
            self.to_plain(array, plain)
            super().to_host(plain, host)

    def to_plain(self, array: Any, plain: Any) -> None:
        """Write the values row-major."""
        self._reorder("from_channels_last", array, plain, self.extent.rows * self.extent.channels)

    def _reorder(self, kernel: str, source: Any, target: Any, count: int) -> None:
        extent = self.extent
        sizes = map(np.int32, (extent.images, extent.channels, extent.positions, extent.padded))
        self.precision.launch("layout.cu", kernel, self.session.grid(count), BLOCK, (source, target, *sizes))

    def convert(self, source_place: Place, source: Any, target: Any) -> bool:
        """Reorder on the GPU."""
        if not isinstance(source_place, CudaPlace) or source_place.session is not self.session:
            return False
        self.session.use()
        if isinstance(source_place, ChannelsLast):
            plain = source_place._plain()
            source_place.to_plain(source, plain)
            source = plain
        elif isinstance(source_place, DevicePlace) or source.dtype != np.float32:
            return False
        self._reorder("to_channels_last", source, target, self.extent.count)
        return True


class RowMajor(CudaPlace):
    """Row-major arrays, which channels-last ones are converted to on the GPU."""

    name = CUDA

    def convert(self, source_place: Place, source: Any, target: Any) -> bool:
        """Reorder or copy within the GPU."""
        if isinstance(source_place, ChannelsLast) and source_place.session is self.session:
            if target.dtype != np.float32:
                return False
            self.session.use()
            source_place.to_plain(source, target)
            return True
        return not isinstance(source_place, DevicePlace) and super().convert(source_place, source, target)


class SpaceToDepth(DevicePlace):
    """An image as a strided convolution's first layer reads it: the stride's pixels side by side in the channels.

    Args:
        precision: of the values.
        shape: N, C, H, W of the image.
        side: the stride, in rows and columns.
        pad: the convolution's padding.
        size: rows and columns of the result.
    """

    name = "cuda (space to depth)"

    def __init__(
        self,
        precision: Precision,
        shape: tuple[int, int, int, int],
        side: tuple[int, int],
        pad: tuple[int, int],
        size: tuple[int, int],
    ) -> None:
        super().__init__(precision)
        self.shape, self.side, self.pad = shape, side, pad
        channels = shape[1] * math.prod(side)
        self.extent = Extent(shape[0], channels, size, precision.padded(channels))
        self.value = precision.value

    @property
    def size(self) -> int:
        """Values of an array, padding included."""
        return self.extent.count

    def from_host(self, host: npt.NDArray[Any], array: Any) -> None:
        """Copy to the GPU and rearrange there."""
        self.session.use()
        plain = self.session.cupy.empty(host.size, np.float32)
        super().from_host(host, plain)
        self._rearrange(plain, array)

    def to_host(self, array: Any, host: npt.NDArray[Any]) -> None:
        """Not possible: pixels at the border may be missing. Nobody writes in this place alone."""
        raise AssertionError("an image rearranged for a convolution is only read")

    def convert(self, source_place: Place, source: Any, target: Any) -> bool:
        """Rearrange on the GPU."""
        plain = isinstance(source_place, CudaPlace) and not isinstance(source_place, DevicePlace)
        if not plain or source.dtype != np.float32:
            return False
        self.session.use()
        self._rearrange(source, target)
        return True

    def _rearrange(self, plain: Any, target: Any) -> None:
        numbers = (*self.shape, *self.side, *self.pad, *self.extent.spatial, self.extent.padded)
        arguments = (plain, target, *map(np.int32, numbers))
        self.precision.launch("layout.cu", "space_to_depth", self.session.grid(self.extent.count), BLOCK, arguments)


class PackedParameter(DevicePlace):
    """A parameter with its axes in another order, padded by zeros at their ends; always float32.

    Args:
        precision: whose session is used.
        shape: how the row-major values are read.
        axes: the order of these axes in the array.
        padded: lengths of the axes of the array.
    """

    name = "cuda (packed)"
    value = np.dtype(np.float32)

    def __init__(self, precision: Precision, shape: Sequence[int], axes: Sequence[int], padded: Sequence[int]) -> None:
        super().__init__(precision)
        self.shape, self.axes, self.padded = tuple(shape), tuple(axes), tuple(padded)

    @property
    def size(self) -> int:
        """Values of an array, padding included."""
        return math.prod(self.padded)

    def pack(self, host: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Row-major values in the order of the array."""
        ordered = host.reshape(self.shape).transpose(self.axes)
        ends = [(0, long - short) for long, short in zip(self.padded, ordered.shape, strict=True)]
        return np.pad(ordered, ends).reshape(-1)

    def unpack(self, packed: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The reverse of `pack`."""
        lengths = [self.shape[axis] for axis in self.axes]
        values = packed.reshape(self.padded)[tuple(slice(length) for length in lengths)]
        return values.transpose(np.argsort(self.axes)).reshape(-1)

    def from_host(self, host: npt.NDArray[Any], array: Any) -> None:
        """Pack and copy to the GPU."""
        super().from_host(self.pack(host), array)

    def to_host(self, array: Any, host: npt.NDArray[Any]) -> None:
        """Copy back and unpack."""
        packed = np.empty(self.size, np.float32)
        super().to_host(array, packed)
        HOST.from_host(self.unpack(packed), host)

    def convert(self, source_place: Place, source: Any, target: Any) -> bool:
        """Only through the host, which is rare: when weights are loaded."""
        return False


class FoldedFilters(PackedParameter):
    """The filters of a strided convolution for an image in `SpaceToDepth`: K × R′ × S′ × (side² · C).

    Args:
        precision: whose session is used.
        shape: K, C, R, S of the filters.
        side: the stride, in rows and columns.
        kernel: R′, S′: rows and columns of the filters over the rearranged image.
        padded: K and side² · C, rounded up.
    """

    name = "cuda (folded filters)"

    def __init__(
        self,
        precision: Precision,
        shape: tuple[int, int, int, int],
        side: tuple[int, int],
        kernel: tuple[int, int],
        padded: tuple[int, int],
    ) -> None:
        super().__init__(precision, shape, (0, 1, 2, 3), (padded[0], *kernel, padded[1]))
        self.side, self.kernel = side, kernel

    def pack(self, host: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Row-major values in the order of the array."""
        (k, c, r, s), (side_y, side_x), (rows, columns) = self.shape, self.side, self.kernel
        full = np.zeros((k, c, rows * side_y, columns * side_x), host.dtype)
        full[:, :, :r, :s] = host.reshape(self.shape)
        cells = full.reshape(k, c, rows, side_y, columns, side_x).transpose(0, 2, 4, 3, 5, 1)
        packed = np.zeros(self.padded, host.dtype)
        packed[:k, :, :, : side_y * side_x * c] = cells.reshape(k, rows, columns, -1)
        return packed.reshape(-1)

    def unpack(self, packed: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The reverse of `pack`."""
        (k, c, r, s), (side_y, side_x), (rows, columns) = self.shape, self.side, self.kernel
        used = packed.reshape(self.padded)[:k, :, :, : side_y * side_x * c]
        cells = used.reshape(k, rows, columns, side_y, side_x, c).transpose(0, 5, 1, 3, 2, 4)
        return cells.reshape(k, c, rows * side_y, columns * side_x)[:, :, :r, :s].reshape(-1)
