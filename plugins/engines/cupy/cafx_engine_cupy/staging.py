"""Sending batches to the GPU on a stream of their own, while it computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx_engine_cupy.places import SentPlace
from cafx_engine_cupy.session import Session

HOST_TO_DEVICE = 1
SLOTS = 2
"""Batches on the GPU: the one in use, and the one that arrives."""


class CudaStaging:
    """Copies from pinned memory to the GPU, beside the stream that computes.

    Two sets of arrays on the GPU are filled in turns. A set is filled again once everything is done
    that was queued before `send` was called for it, which includes the reading of its last contents.

    Args:
        session: the GPU and the stream that computes.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.place = SentPlace(session)
        self._stream: Any = None
        self._slots: list[list[Any]] = [[] for _ in range(SLOTS)]
        self._turn = 0

    def buffer(self, count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Pinned host memory."""
        self._session.use()
        nbytes = count * np.dtype(dtype).itemsize
        if not nbytes:
            return np.empty(0, dtype)
        return np.frombuffer(self._session.cupy.cuda.alloc_pinned_memory(nbytes), np.dtype(dtype), count)

    def send(self, arrays: Sequence[npt.NDArray[Any]]) -> CudaSent:
        """Begin to copy flat arrays; they must not change before `CudaSent.wait` returns."""
        session, cupy = self._session, self._session.cupy
        session.use()
        if self._stream is None:
            self._stream = cupy.cuda.Stream(non_blocking=True)
        self._turn = (self._turn + 1) % SLOTS
        targets = self._slots[self._turn] = self._targets(self._slots[self._turn], arrays)
        self._stream.wait_event(session.stream.record())
        runtime = cupy.cuda.runtime
        for source, target in zip(arrays, targets, strict=True):
            if source.nbytes:
                runtime.memcpyAsync(
                    target.data.ptr, source.ctypes.data, source.nbytes, HOST_TO_DEVICE, self._stream.ptr
                )
        return CudaSent(session, self.place, targets, self._stream.record())

    def _targets(self, held: list[Any], arrays: Sequence[npt.NDArray[Any]]) -> list[Any]:
        """The slot's arrays on the GPU, made anew where the shapes have changed."""
        if [(array.size, array.dtype) for array in held] == [(array.size, array.dtype) for array in arrays]:
            return held
        return [self._session.cupy.empty(array.size, array.dtype) for array in arrays]


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
