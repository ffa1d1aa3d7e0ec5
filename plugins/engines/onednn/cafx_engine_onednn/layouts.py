"""Places: one for each layout, so that what is current where also says what needs no reorder."""

from __future__ import annotations

import threading
import time
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cafx.kernel.blob import HOST, Place, SyncedArray

from .api.constants import Arg, DataType, FormatKind
from .api.memory import NUMPY_TYPES, Memory, MemoryDesc, Stream, aligned, c_strides
from .api.pointwise import reorder
from .api.primitives import Call, Primitive, Scratch

Array = npt.NDArray[Any]
_local = threading.local()


class Blocked:
    """Memory in one layout that NumPy does not have; its arrays are the stored values, padding too.

    Args:
        desc: the layout, with its shape.
    """

    def __init__(self, desc: MemoryDesc) -> None:
        self.desc = desc
        self.dims = desc.dims
        self.size = desc.size // np.dtype(NUMPY_TYPES[desc.dtype]).itemsize
        self.padded = desc.padded_dims != self.dims
        self.plain = MemoryDesc.plain(self.dims)
        self.name = f"onednn {desc!r}"

    @property
    def place(self) -> Place:
        """As the layout of an arena's segment: the place it is."""
        return self

    def wrap(self, values: Array) -> Array:
        """As the layout of an arena's segment: the slice itself."""
        return values

    def allocate(self, count: int, dtype: npt.DTypeLike) -> Array:
        """Zeroed memory: padding stays zero."""
        return aligned(self.desc.size).view(NUMPY_TYPES[self.desc.dtype])

    def from_host(self, host: Array, array: Array) -> Array:
        """A reorder from row-major order."""
        copy_between(self.plain, host, self.desc, array)
        return array

    def to_host(self, array: Array, host: Array) -> None:
        """A reorder to row-major order."""
        copy_between(self.desc, array, self.plain, host)


class Conversion:
    """A prepared change of layout that keeps count and time.

    Args:
        call: the prepared reorder.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    def __call__(self) -> None:
        """Execute."""
        done, began = reorders(), time.perf_counter()
        self._call()
        done.seconds += time.perf_counter() - began
        done.count += 1


class Reorders:
    """Reorder primitives by layouts, each made once.

    Attributes:
        count: how many conversions there have been.
        seconds: what they took.
    """

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self._made: dict[tuple[Any, Any], Primitive] = {}
        self._stream = Stream()
        self._scratch = Scratch()

    def call(self, source: Memory, target: Memory) -> Conversion:
        """A prepared reorder."""
        key = layout_key(source.desc), layout_key(target.desc)
        primitive = self._made.get(key)
        if primitive is None:
            primitive = self._made[key] = reorder(source.desc, target.desc).build()
        memory = {Arg.SRC: source, Arg.DST: target} | self._scratch.argument(primitive.desc)
        return Conversion(primitive.prepare(self._stream, memory))


def reorders() -> Reorders:
    """This thread's."""
    if not hasattr(_local, "reorders"):
        _local.reorders = Reorders()
    return cast(Reorders, _local.reorders)


def copy_between(source: MemoryDesc, values: Array, target: MemoryDesc, into: Array) -> None:
    """Copy values from one layout to another."""
    reorders().call(Memory(source, values), Memory(target, into))()


def layout_key(desc: MemoryDesc) -> tuple[Any, ...]:
    """Equal for descriptors of the same bytes: what the stride of an axis of length 1 is, is no matter."""
    dims, padded = desc.dims, desc.padded_dims
    strides = tuple(0 if n == 1 else stride for n, stride in zip(padded, desc.strides, strict=True))
    return dims, padded, strides, desc.blocks, desc.dtype


def is_row_major(desc: MemoryDesc) -> bool:
    """Whether a plain float32 array has the same bytes."""
    if desc.kind != FormatKind.BLOCKED or desc.blocks or desc.dtype != DataType.F32:
        return False
    axes = zip(desc.dims, desc.strides, c_strides(desc.dims), strict=True)
    return desc.padded_dims == desc.dims and all(n == 1 or found == plain for n, found, plain in axes)


_places: dict[tuple[Any, ...], Blocked] = {}
_lock = threading.Lock()


def place_of(desc: MemoryDesc) -> Place:
    """The place whose arrays have this layout: the host where it is row-major."""
    if is_row_major(desc):
        return HOST
    key = layout_key(desc)
    with _lock:
        if key not in _places:
            _places[key] = Blocked(desc)
        return _places[key]


def held_in(array: SyncedArray) -> Blocked | None:
    """The blocked place an array's values are current in, if there is one."""
    return next((place for place in array.current if isinstance(place, Blocked)), None)
