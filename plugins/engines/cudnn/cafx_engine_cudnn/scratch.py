"""Scratch buffers of one net: memory that lasts for one call."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from cafx_engine_cupy.session import Session


class Scratch:
    """Named temporary buffers on the GPU, which grow as needed.

    Args:
        session: the GPU.

    Attributes:
        replaced: how many buffers have been replaced by larger ones: graphs with addresses in them are
            void when it grows.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._buffers: dict[str, Any] = {}
        self.replaced = 0

    def __call__(self, name: str, count: int, dtype: npt.DTypeLike) -> Any:
        """A buffer of ``count`` values. The same name gives the same bytes."""
        cupy = self._session.cupy
        nbytes = count * cupy.dtype(dtype).itemsize
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < nbytes:
            self.replaced += buffer is not None
            buffer = self._buffers[name] = cupy.empty(max(1, nbytes), "uint8")
        return buffer[:nbytes].view(dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return sum(buffer.size for buffer in self._buffers.values())
