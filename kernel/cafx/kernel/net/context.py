"""Context: what a net provides to its layers."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from types import ModuleType
from typing import Any, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel.blob import HOST, Blob, Place
from cafx.kernel.net.checks import Checks
from cafx.kernel.net.communicator import ALONE, Communicator
from cafx.kernel.net.draws import Draws, draws_in
from cafx.kernel.net.random import Streams
from cafx.kernel.registry import Registry, registry
from cafx.kernel.schema import Phase

BUFFER_VALUES = 1 << 20
"""Values of a temporary buffer on the host: they bound memory, and keep the work of one call large."""


class Staging(Protocol):
    """Sends batches to a device while it computes: see `Engine.staging`.

    Attributes:
        takes: places, beside the host, whose arrays `send` takes.
    """

    takes: Container[Place]

    def buffer(self, count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Host memory from which sending is fast."""

    def send(self, arrays: Sequence[Any]) -> Sent:
        """Begin to copy flat arrays to the device; they must not change before `Sent.wait` returns."""


class Sent(Protocol):
    """Arrays on their way to a device."""

    place: Place
    arrays: Sequence[Any]

    def arrive(self) -> None:
        """Let what is computed from here on wait for them."""

    def wait(self) -> None:
        """Return when they have arrived, so that the host's arrays may change."""


def no_staging() -> None:
    """For the host, where nothing is sent."""


class Workspace:
    """Scratch buffers shared by a net's layers; their contents last for one call.

    Attributes:
        replaced: how many buffers have been replaced by larger ones. What an engine has recorded with
            addresses in them is void when it grows.

    Example:
        >>> workspace = Workspace()
        >>> large, small = workspace.get((4, 8), "float32"), workspace.get((2, 3), "float32")
        >>> np.shares_memory(large, small), workspace.nbytes
        (True, 128)
    """

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, Any], Any] = {}
        self.replaced = 0

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
            self.replaced += buffer is not None
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
        draws: random numbers in that place, from the streams.
        checks: checks of values in that place.
        buffer_values: how many values a layer's temporary buffer should have at most.
        staging: makes what sends a layer's batches to a device ahead of time; it returns None on the host.
        communicator: the processes that train this net together. Data layers deal records to them.

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
    draws: Draws = attrs.Factory(lambda self: draws_in(self.place, self.streams, self.xp), takes_self=True)
    checks: Checks = attrs.Factory(lambda self: Checks(self.place, self.xp), takes_self=True)
    buffer_values: int = BUFFER_VALUES
    staging: Callable[[], Staging | None] = no_staging
    communicator: Communicator = ALONE

    def blob(self, shape: Sequence[int] = (), name: str = "") -> Blob:
        """Create a blob of the net's type, in the net's place.

        Args:
            shape: length of each axis; () is a scalar.
            name: used in error messages.

        Raises:
            CafxError: as `Blob`.
        """
        return Blob(tuple(shape), self.dtype, self.place, name)
