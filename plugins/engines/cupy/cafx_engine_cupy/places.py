"""Places on a GPU: row-major arrays, and arrays that were sent ahead."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel.blob import Place
from cafx_engine_cupy.session import Session

CUDA = "cuda"


class CudaPlace(Place):
    """Row-major arrays in a GPU's memory.

    Args:
        session: the GPU and the stream.
    """

    name = CUDA
    memory = CUDA

    def __init__(self, session: Session) -> None:
        self.session = session

    def allocate(self, count: int, dtype: npt.DTypeLike) -> Any:
        """A zeroed array."""
        self.session.use()
        return self.session.cupy.zeros(count, dtype)

    def allocate_bytes(self, nbytes: int) -> Any:
        """Uninitialised bytes."""
        self.session.use()
        return self.session.cupy.empty(nbytes, np.uint8)

    def from_host(self, host: npt.NDArray[Any], array: Any) -> None:
        """Copy to the GPU, after what the stream still has to do with ``array``."""
        if host.size:
            self.session.use()
            array.set(np.ascontiguousarray(host, array.dtype), stream=self.session.stream)
            self.session.stream.synchronize()

    def to_host(self, array: Any, host: npt.NDArray[Any]) -> None:
        """Wait for the stream and copy back."""
        if host.size:
            self.session.use()
            host[...] = array.get(stream=self.session.stream)

    def convert(self, source_place: Place, source: Any, target: Any) -> bool:
        """Copy within the GPU from where a batch was sent to."""
        if not isinstance(source_place, CudaPlace) or source_place.session is not self.session:
            return False
        self.session.use()
        target[...] = source
        return True


class SentPlace(CudaPlace):
    """Where batches arrive before they are needed: arrays that are read once, then overwritten."""

    name = "cuda (sent ahead)"
    shareable = False
