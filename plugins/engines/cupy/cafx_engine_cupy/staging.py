"""Sending batches to the GPU on a stream of their own, while it computes."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx_engine_cupy.places import SentPlace
from cafx_engine_cupy.session import BLOCK, Session
from cafx_lib_pixels import IMAGES, Images

HOST_TO_DEVICE = 1
SLOTS = 2
"""Batches on the GPU: the one in use, and the one that arrives."""


class CudaStaging:
    """Copies from pinned memory to the GPU, beside the stream that computes.

    Two sets of arrays on the GPU are filled in turns. A set is filled again once everything is done
    that was queued before `send` was called for it, which includes the reading of its last contents.
    8-bit images are sent as they are, a quarter of the bytes, and become floats there.

    Args:
        session: the GPU and the stream that computes.
    """

    takes = (IMAGES,)

    def __init__(self, session: Session) -> None:
        self._session = session
        self.place = SentPlace(session)
        self._stream: Any = None
        self._slots = [Slot(session) for _ in range(SLOTS)]
        self._means: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self._turn = 0

    def buffer(self, count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Pinned host memory."""
        self._session.use()
        nbytes = count * np.dtype(dtype).itemsize
        if not nbytes:
            return np.empty(0, dtype)
        return np.frombuffer(self._session.cupy.cuda.alloc_pinned_memory(nbytes), np.dtype(dtype), count)

    def send(self, arrays: Sequence[npt.NDArray[Any] | Images]) -> CudaSent:
        """Begin to copy flat arrays and images; they must not change before `CudaSent.wait` returns."""
        session = self._session
        session.use()
        if self._stream is None:
            self._stream = session.cupy.cuda.Stream(non_blocking=True)
        self._turn = (self._turn + 1) % SLOTS
        slot = self._slots[self._turn]
        self._stream.wait_event(session.stream.record())
        self._stream.use()
        try:
            targets = [self._send_one(slot, index, each) for index, each in enumerate(arrays)]
        finally:
            session.use()
        return CudaSent(session, self.place, targets, self._stream.record())

    def _send_one(self, slot: Slot, index: int, source: npt.NDArray[Any] | Images) -> Any:
        """Send one array; images become floats."""
        return (
            self._convert(slot, index, source) if isinstance(source, Images) else self._copy(slot, (index, ""), source)
        )

    def _copy(self, slot: Slot, name: tuple[int, str], source: npt.NDArray[Any]) -> Any:
        """Copy an array to the slot's memory of that name."""
        target = slot.memory(name, source.size, source.dtype)
        if source.nbytes:
            self._session.cupy.cuda.runtime.memcpyAsync(
                target.data.ptr, source.ctypes.data, source.nbytes, HOST_TO_DEVICE, self._stream.ptr
            )
        return target

    def _convert(self, slot: Slot, index: int, images: Images) -> Any:
        """Copy images and write their floats."""
        stream, count = images.stream, math.prod(images.shape)
        values = slot.memory((index, "values"), count, np.float32)
        stored = self._copy(slot, (index, "stored"), images.stored.reshape(-1))
        marks = self._copy(slot, (index, "marks"), images.marks.reshape(-1))
        kernel = self._session.kernel(__package__, "images.cu", "image_values")
        sizes = np.int64(count), np.int64(images.stored.strides[0])
        geometry = *stream.shape, *stream.strides, *images.start_strides, *stream.mean_strides
        arguments = values, stored, marks, self._mean(stream), np.float32(stream.scale), *sizes
        kernel(self._session.grid(count), (BLOCK,), (*arguments, *map(np.int32, geometry)))
        return values

    def _mean(self, stream: Any) -> Any:
        """A conversion's mean on the GPU, where it is sent once."""
        mean = self._means.get(stream)
        if mean is None:
            mean = self._means[stream] = self._session.cupy.asarray(stream.mean.reshape(-1))
        return mean


class Slot:
    """Memory on the GPU for one batch, by name.

    Args:
        session: the GPU.
    """

    def __init__(self, session: Session) -> None:
        self._cupy = session.cupy
        self._arrays: dict[tuple[int, str], Any] = {}

    def memory(self, name: tuple[int, str], count: int, dtype: npt.DTypeLike) -> Any:
        """The array of that name, made anew where its size has changed."""
        array = self._arrays.get(name)
        if array is None or (array.size, array.dtype) != (count, dtype):
            array = self._arrays[name] = self._cupy.empty(count, dtype)
        return array


class CudaSent:
    """A batch on its way.

    Args:
        session: whose stream is to wait.
        place: where it arrives.
        arrays: flat arrays there.
        event: happens when they have arrived.
    """

    def __init__(self, session: Session, place: SentPlace, arrays: Sequence[Any], event: Any) -> None:
        self._session, self.place, self.arrays, self._event = session, place, arrays, event

    def arrive(self) -> None:
        """Let the stream that computes wait for them."""
        self._session.stream.wait_event(self._event)

    def wait(self) -> None:
        """Return when they have arrived, so that the host's arrays may change."""
        self._event.synchronize()
