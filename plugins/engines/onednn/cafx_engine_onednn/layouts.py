"""Places with oneDNN's layouts: an array is current in the layouts that need no reorder."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any, cast

import numpy.typing as npt

from cafx.kernel.blob import HOST, Place, SyncedArray

from .api.constants import Arg, DataType, FormatKind
from .api.memory import NUMPY_TYPES, Memory, MemoryDesc, Stream, c_strides, zeroed
from .api.pointwise import reorder
from .api.primitives import Call, Primitive, Scratchpad
from .threads import used_threads

Array = npt.NDArray[Any]
MOST_REORDERS = 256
_local = threading.local()


class Blocked(Place):
    """Host memory in a layout that NumPy does not have. Arrays hold the stored values, padding included.

    Args:
        desc: shape and layout.
    """

    def __init__(self, desc: MemoryDesc) -> None:
        self.desc = desc
        self.dims = desc.dims
        self.shareable = desc.padded_dims == self.dims
        self.plain = MemoryDesc.plain(self.dims)
        self.name = f"onednn {desc!r}"
        self._type = NUMPY_TYPES[desc.dtype]
        self._nbytes = desc.size

    def allocate(self, count: int, dtype: npt.DTypeLike) -> Array:
        """Zeroed memory; primitives keep the padding zero."""
        return zeroed(self._nbytes).view(self._type)

    def allocate_bytes(self, nbytes: int) -> Any:
        """Host memory."""
        return HOST.allocate_bytes(nbytes)

    def nbytes(self, count: int, dtype: npt.DTypeLike) -> int:
        """Bytes of the layout, padding included."""
        return self._nbytes

    def view(self, raw: Any, count: int, dtype: npt.DTypeLike) -> Array:
        """The array over bytes of a pool or an arena."""
        return cast(Array, raw.view(self._type))

    def from_host(self, host: Array, array: Array) -> None:
        """A reorder from row-major order."""
        copy_between(self.plain, host, self.desc, array)

    def to_host(self, array: Array, host: Array) -> None:
        """A reorder to row-major order."""
        copy_between(self.desc, array, self.plain, host)

    def convert(self, source_place: Place, source: Any, target: Any) -> bool:
        """A reorder from another layout of the same shape."""
        if not isinstance(source_place, Blocked) or source_place.dims != self.dims:
            return False
        copy_between(source_place.desc, source, self.desc, target)
        return True


class Conversion:
    """A prepared reorder that counts its runs and their time.

    Args:
        call: the reorder.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    def join(self, recording: Any) -> bool:
        """Write the call down; its runs are not counted then."""
        return bool(recording.call(self._call))

    def __call__(self) -> None:
        """Run it."""
        counted, began = reorders(), time.perf_counter()
        self._call()
        counted.seconds += time.perf_counter() - began
        counted.count += 1


class Reorders:
    """The reorder primitives of one thread, of which the `MOST_REORDERS` last used pairs of layouts are kept.

    Attributes:
        count: reorders run so far.
        seconds: the time they took.
    """

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self._primitives: dict[tuple[Any, ...], Primitive] = {}
        self._stream = Stream()
        self._scratchpad = Scratchpad()

    def call(self, source: Memory, target: Memory) -> Conversion:
        """A prepared reorder from one memory object to another."""
        key = used_threads(), layout_key(source.desc), layout_key(target.desc)
        primitive = self._primitives.pop(key, None) or reorder(source.desc, target.desc).build()
        self._primitives[key] = primitive
        if len(self._primitives) > MOST_REORDERS:
            del self._primitives[next(iter(self._primitives))]
        memory = {Arg.SRC: source, Arg.DST: target} | self._scratchpad.argument(primitive.desc)
        return Conversion(primitive.prepare(self._stream, memory))


def reorders() -> Reorders:
    """This thread's reorders."""
    if not hasattr(_local, "reorders"):
        _local.reorders = Reorders()
    return cast(Reorders, _local.reorders)


def copy_between(source: MemoryDesc, values: Array, target: MemoryDesc, into: Array) -> None:
    """Copy values from one layout to another."""
    reorders().call(Memory(source, values), Memory(target, into))()


def layout_key(desc: MemoryDesc) -> tuple[Any, ...]:
    """Equal for descriptors of the same bytes: the stride of an axis of length 1 does not count."""
    dims, padded = desc.dims, desc.padded_dims
    strides = tuple(0 if n == 1 else stride for n, stride in zip(padded, desc.strides, strict=True))
    return dims, padded, strides, desc.blocks, desc.dtype


def is_row_major(desc: MemoryDesc) -> bool:
    """Whether a plain float32 array has the same bytes."""
    if desc.kind != FormatKind.BLOCKED or desc.blocks or desc.dtype != DataType.F32:
        return False
    axes = zip(desc.dims, desc.strides, c_strides(desc.dims), strict=True)
    return desc.padded_dims == desc.dims and all(n == 1 or stride == plain for n, stride, plain in axes)


_places: weakref.WeakValueDictionary[tuple[Any, ...], Blocked] = weakref.WeakValueDictionary()
"""The places in use, so that equal layouts are one place."""
_lock = threading.Lock()


def place_of(desc: MemoryDesc) -> Place:
    """The place whose arrays have this layout: the host if it is row-major."""
    if is_row_major(desc):
        return HOST
    key = layout_key(desc)
    with _lock:
        place = _places.get(key)
        if place is None:
            place = _places[key] = Blocked(desc)
        return place


def blocked_place(array: SyncedArray) -> Blocked | None:
    """The blocked place in which an array is current, if there is one."""
    return next((place for place in array.current if isinstance(place, Blocked)), None)
