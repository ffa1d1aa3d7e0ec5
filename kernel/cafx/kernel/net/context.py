"""Context: what a net provides to its layers."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel.blob import HOST, Blob, Place
from cafx.kernel.net.random import Streams
from cafx.kernel.registry import Registry, registry
from cafx.kernel.schema import Phase


class Workspace:
    """Scratch buffers shared by a net's layers; their contents last for one call.

    Example:
        >>> workspace = Workspace()
        >>> large, small = workspace.get((4, 8), "float32"), workspace.get((2, 3), "float32")
        >>> np.shares_memory(large, small), workspace.nbytes
        (True, 128)
    """

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, Any], Any] = {}

    def get(self, shape: Sequence[int], dtype: npt.DTypeLike, xp: Any = np, name: str = "") -> Any:
        """An uninitialised array.

        Args:
            shape: shape of the array.
            dtype: type of its values.
            xp: array module that allocates it.
            name: calls with the same name and dtype return the same memory, which grows as needed.
        """
        count = int(np.prod(shape, dtype=np.int64))
        buffer = self._buffers.get((name, np.dtype(dtype)))
        if buffer is None or buffer.size < count:
            buffer = self._buffers[name, np.dtype(dtype)] = xp.empty(count, dtype)
        return buffer[:count].reshape(shape)

    @property
    def nbytes(self) -> int:
        """Total size of the buffers in bytes."""
        return sum(buffer.nbytes for buffer in self._buffers.values())


@attrs.define
class Context:
    """What a net provides to its layers; the defaults suit a layer on its own.

    Attributes:
        phase: TRAIN or TEST.
        dtype: type of all blobs, float32 or float64.
        place: where the blobs of layers without a routine are read and written.
        xp: array module of that place.
        streams: random streams by name.
        workspace: scratch buffers.
        plugins: where fillers, databases and formats are found.

    Example:
        >>> context = Context(dtype="float64")
        >>> context.blob((2, 3), "ip1").data.dtype
        dtype('float64')
    """

    phase: Phase = Phase.TEST
    dtype: np.dtype[Any] = attrs.field(default=np.float32, converter=np.dtype)
    place: Place = HOST
    xp: ModuleType | Any = np
    streams: Streams = attrs.field(factory=Streams)
    workspace: Workspace = attrs.field(factory=Workspace)
    plugins: Registry = attrs.field(factory=registry)

    def blob(self, shape: Sequence[int] = (), name: str = "") -> Blob:
        """Create a blob of the net's type, in the net's place.

        Args:
            shape: length of each axis; () is a scalar.
            name: used in error messages.

        Raises:
            CafxError: as `Blob`.
        """
        return Blob(tuple(shape), self.dtype, self.place, name)
