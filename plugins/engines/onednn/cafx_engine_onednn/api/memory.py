"""Memory descriptors (shape, type, layout), memory objects over arrays, and streams."""

import ctypes
import math
import mmap
import weakref
from collections.abc import Sequence
from ctypes import byref, c_int, c_int64, c_void_p
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..api.constants import MAX_NDIMS, DataType, FormatKind, Query, Tag
from ..api.library import Library, load

MAPPED, HUGE = 1 << 18, 1 << 22
"""Sizes in bytes from which buffers are mapped, and mapped in huge pages."""
ALIGNMENT = 4096
"""A page, so that no two buffers share a cache line or page."""
IN_ORDER = 1
"""Stream flag: dnnl_stream_in_order."""

NUMPY_TYPES: dict[DataType, type[np.generic]] = {
    DataType.F32: np.float32,
    DataType.BF16: np.uint16,  # NumPy has no bfloat16; arrays contain its bits
    DataType.S32: np.int32,
    DataType.U8: np.uint8,
    DataType.S8: np.int8,
}


def dims_array(values: Sequence[int]) -> ctypes.Array[c_int64]:
    """The values as a dnnl_dims_t."""
    return (c_int64 * MAX_NDIMS)(*values)


class MemoryDesc:
    """An immutable description of a tensor: dims, data type and layout.

    Args:
        handle: handle of a dnnl_memory_desc_t, which this object owns.
        library: the loaded library.
    """

    def __init__(self, handle: c_void_p, library: Library) -> None:
        self.handle = handle
        self._library = library
        self._destroy = library.destroyer("memory_desc")

    def __del__(self) -> None:
        self._destroy(self.handle)

    @classmethod
    def tagged(cls, dims: Sequence[int], tag: int, dtype: DataType = DataType.F32) -> Self:
        """A descriptor with one of oneDNN's named layouts.

        Args:
            dims: length of each axis.
            tag: the layout, a value of `Tag`.
            dtype: element type.
        """
        library = load()
        where = f"memory {tuple(dims)} {dtype.name}"
        size = len(dims)
        name = "memory_desc_create_with_tag"
        return cls(library.create(name, where, size, dims_array(dims), dtype, tag), library)

    @classmethod
    def any(cls, dims: Sequence[int], dtype: DataType = DataType.F32) -> Self:
        """A descriptor whose layout the primitive chooses.

        Args:
            dims: length of each axis.
            dtype: element type.
        """
        return cls.tagged(dims, Tag.ANY, dtype)

    @classmethod
    def strided(cls, dims: Sequence[int], strides: Sequence[int], dtype: DataType = DataType.F32) -> Self:
        """A descriptor with a strided layout.

        Args:
            dims: length of each axis.
            strides: distance between neighbours along each axis, in elements.
            dtype: element type.
        """
        library = load()
        where = f"memory {tuple(dims)} {dtype.name} strides {tuple(strides)}"
        arguments = len(dims), dims_array(dims), dtype, dims_array(strides)
        return cls(library.create("memory_desc_create_with_strides", where, *arguments), library)

    @classmethod
    def plain(cls, dims: Sequence[int], dtype: DataType = DataType.F32) -> Self:
        """A descriptor in C order.

        Args:
            dims: length of each axis.
            dtype: element type.

        Example:
            >>> MemoryDesc.plain((2, 3, 4, 5))
            2x3x4x5 f32 abcd
        """
        return cls.strided(dims, c_strides(dims), dtype)

    @classmethod
    def channels_last(cls, dims: Sequence[int], dtype: DataType = DataType.F32) -> Self:
        """A descriptor with axis 1 innermost: the preferred layout of convolutions with few channels.

        Args:
            dims: length of each axis.
            dtype: element type.

        Example:
            >>> MemoryDesc.channels_last((2, 3, 4, 5))
            2x3x4x5 f32 acdb
        """
        _, channels, *spatial = dims
        inner = [stride * channels for stride in c_strides(spatial)]
        image = channels * math.prod(spatial)
        return cls.strided(dims, (image, 1, *inner), dtype)

    @classmethod
    def copy_of(cls, handle: c_void_p | int, library: Library) -> Self:
        """A copy of a descriptor owned by another object.

        Args:
            handle: handle of the descriptor.
            library: the loaded library.
        """
        return cls(library.create("memory_desc_clone", "memory descriptor", handle), library)

    def part(self, dims: Sequence[int], offsets: Sequence[int]) -> "MemoryDesc":
        """A rectangular part of this memory, such as the channels of one bottom in the top of a Concat.

        Args:
            dims: length of each axis of the part.
            offsets: index of its first element along each axis.
        """
        where = f"part {tuple(dims)} of {self!r}"
        arguments = self.handle, dims_array(dims), dims_array(offsets)
        return MemoryDesc(self._library.create("memory_desc_create_submemory", where, *arguments), self._library)

    def _query(self, what: Query, result: Any) -> Any:
        self._library.call("memory_desc_query", "memory descriptor", self.handle, what, result)
        return result

    def _int(self, what: Query) -> int:
        value = c_int()
        self._query(what, byref(value))
        return value.value

    def _dims(self, what: Query, count: int) -> tuple[int, ...]:
        pointer = ctypes.POINTER(c_int64)()
        self._query(what, byref(pointer))
        return tuple(pointer[:count])

    @cached_property
    def ndims(self) -> int:
        """Number of axes."""
        return self._int(Query.NDIMS_S32)

    @cached_property
    def dims(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self._dims(Query.DIMS, self.ndims)

    @cached_property
    def padded_dims(self) -> tuple[int, ...]:
        """Length of each axis, rounded up to whole blocks."""
        return self._dims(Query.PADDED_DIMS, self.ndims)

    @cached_property
    def dtype(self) -> DataType:
        """Element type."""
        return DataType(self._int(Query.DATA_TYPE))

    @cached_property
    def kind(self) -> FormatKind:
        """Kind of layout."""
        return FormatKind(self._int(Query.FORMAT_KIND))

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """Distance in elements between outer blocks along each axis."""
        return self._dims(Query.STRIDES, self.ndims)

    @cached_property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """Axis and size of each inner block, outermost first."""
        count = self._int(Query.INNER_NBLKS_S32)
        axes = self._dims(Query.INNER_IDXS, count)
        return tuple(zip(axes, self._dims(Query.INNER_BLKS, count), strict=True))

    @cached_property
    def size(self) -> int:
        """Size in bytes, padding included; 0 for an empty descriptor."""
        return int(self._library.value("memory_desc_get_size", self.handle))

    @cached_property
    def layout(self) -> str:
        """The layout in oneDNN's notation, such as `aBcd16b` or `any`."""
        if self.kind != FormatKind.BLOCKED:
            return self.kind.name.lower()
        blocked = {axis for axis, _ in self.blocks}
        # of axes with equal strides, the longer one is the outer
        order = sorted(range(self.ndims), key=lambda i: (-self.strides[i], -self.padded_dims[i], i))
        outer = "".join(chr(ord("A" if i in blocked else "a") + i) for i in order)
        return outer + "".join(f"{size}{chr(ord('a') + axis)}" for axis, size in self.blocks)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MemoryDesc):
            return NotImplemented
        return bool(self._library.value("memory_desc_equal", self.handle, other.handle))

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def text(self) -> str:
        """Dims, element type and layout, as errors name them."""
        if not self.size and not self.ndims:
            return "none"
        return f"{'x'.join(map(str, self.dims))} {self.dtype.name.lower()} {self.layout}"

    def __repr__(self) -> str:
        return self.text


def handle_of(desc: MemoryDesc | None) -> c_void_p | None:
    """The handle of a descriptor, or None if there is no descriptor."""
    return None if desc is None else desc.handle


def c_strides(dims: Sequence[int]) -> tuple[int, ...]:
    """Strides of a C-order array, in elements.

    Example:
        >>> c_strides((2, 3, 4))
        (12, 4, 1)
    """
    strides = [1] * len(dims)
    for axis in reversed(range(len(dims) - 1)):
        strides[axis] = strides[axis + 1] * max(dims[axis + 1], 1)
    return tuple(strides)


def zeroed(size: int) -> NDArray[np.uint8]:
    """A zeroed buffer that begins at a page boundary; pages of a large one are allocated on first access.

    Args:
        size: size in bytes.
    """
    if size >= MAPPED:
        return np.frombuffer(_mapped(size), np.uint8)
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]


def _mapped(size: int) -> mmap.mmap:
    """Map private memory, in huge pages if available, which reduces TLB misses."""
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return mmap.mmap(-1, size)
    mapped = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        mapped.madvise(mmap.MADV_HUGEPAGE)
    return mapped


class Memory:
    """A descriptor bound to a buffer, which this object keeps alive.

    The padding of a blocked layout must be zero. New buffers are zeroed, and primitives keep the padding zero.

    Args:
        desc: the descriptor.
        array: the buffer, a contiguous array of at least ``desc.size`` bytes; None for a new one.

    Attributes:
        desc: the descriptor.
        array: the buffer.
        version: for parameters that are computed: whoever writes them counts it up.

    Raises:
        ValueError: the array is too small or not contiguous.
    """

    def __init__(self, desc: MemoryDesc, array: NDArray[Any] | None = None) -> None:
        library = load()
        self.desc = desc
        self.version = 0
        self.array = zeroed(desc.size) if array is None else array
        self._windows: weakref.WeakSet[Memory] = weakref.WeakSet()
        self._whole: Memory | None = None
        self._start = 0
        self._check(self.array)
        self._library = library
        self._destroy = library.destroyer("memory")
        pointer = c_void_p(self.array.ctypes.data)
        self.handle = library.create("memory_create", repr(desc), desc.handle, library.engine, pointer)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self._destroy(self.handle)

    def _check(self, array: NDArray[Any]) -> None:
        if not array.flags.c_contiguous or array.nbytes < self.desc.size:
            kind = "contiguous" if array.flags.c_contiguous else "non-contiguous"
            raise ValueError(
                f"{self.desc!r}: got {array.nbytes} {kind} bytes, expected {self.desc.size} contiguous bytes"
            )

    def rebind(self, array: NDArray[Any]) -> None:
        """Use another buffer, also in all prepared calls and windows.

        Args:
            array: the buffer.

        Raises:
            ValueError: the array is too small or not contiguous.
        """
        self._check(array)
        pointer = c_void_p(array.ctypes.data)
        where = repr(self.desc)
        self._library.call("memory_set_data_handle", where, self.handle, pointer)
        self.array = array
        for each in list(self._windows):
            each.rebind(array.reshape(-1).view(np.uint8)[each._start :])

    def release(self) -> None:
        """Drop the reference to the buffer; call `rebind` before the memory is used again."""
        self._library.call("memory_set_data_handle", repr(self.desc), self.handle, None)
        self.array = None  # type: ignore[assignment]
        for each in list(self._windows):
            each.release()

    def window(self, desc: MemoryDesc, start: int = 0) -> "Memory":
        """The same buffer with another descriptor; follows `rebind` and `release` of this memory.

        Args:
            desc: the descriptor.
            start: offset in bytes.
        """
        window = Memory(desc, self.array.reshape(-1).view(np.uint8)[start:])
        window._whole, window._start = self, start
        self._windows.add(window)
        return window

    @property
    def flat(self) -> NDArray[Any]:
        """The elements in storage order, padding included."""
        raw = self.array.reshape(-1).view(np.uint8)[: self.desc.size]
        return raw.view(NUMPY_TYPES[self.desc.dtype])


class Stream:
    """An execution stream of the CPU engine; calls are synchronous."""

    def __init__(self) -> None:
        library = load()
        self._destroy = library.destroyer("stream")
        self.handle = library.create("stream_create", "stream", library.engine, IN_ORDER)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self._destroy(self.handle)
