"""A net's arrays for JAX: in shared memory, in the net's place or on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from cafx.kernel.blob import HOST, Place, SyncedArray
from cafx_layer_jax.compiled import runtime

DEVICE = "gpu"
"""What JAX calls CUDA's devices."""


class Arrays(Protocol):
    """How a layer's values are read, and its results written."""

    def read(self, values: SyncedArray, shape: Sequence[int]) -> Any:
        """The newest values for a call of JAX; they share the net's memory, so they must not change meanwhile."""

    def write(self, values: SyncedArray, shape: Sequence[int], result: Any) -> None:
        """Copy a result, for which this waits."""

    def add(self, values: SyncedArray, shape: Sequence[int], result: Any) -> None:
        """Add a result, for which this waits."""


class HostArrays:
    """NumPy's memory, in which compiled functions read arguments where they are if these begin on a cache line.

    Example:
        >>> values = SyncedArray(2, "float32")
        >>> arrays = HostArrays()
        >>> arrays.write(values, (2,), np.float32([1, 2]))
        >>> arrays.add(values, (2,), arrays.read(values, (2,)))
        >>> values.read(HOST).tolist()
        [2.0, 4.0]
    """

    def read(self, values: SyncedArray, shape: Sequence[int]) -> Any:
        """The values as a NumPy array, which a compiled function takes faster than what DLPack makes of it."""
        return values.read(HOST).reshape(shape)

    def write(self, values: SyncedArray, shape: Sequence[int], result: Any) -> None:
        """Copy a result."""
        np.copyto(values.memory(HOST).reshape(shape), np.asarray(result))
        values.mark_written(HOST)

    def add(self, values: SyncedArray, shape: Sequence[int], result: Any) -> None:
        """Add a result."""
        target = values.write(HOST).reshape(shape)
        np.add(target, np.asarray(result), out=target)


class DeviceArrays:
    """CuPy's memory, on a GPU that JAX uses too.

    Both have streams of their own. Each result is waited for before it is copied, and the copy before its memory is
    given back, so that neither overtakes the other.

    Args:
        place: the net's place.
        xp: its array module.
    """

    def __init__(self, place: Place, xp: Any) -> None:
        self.place, self.xp = place, xp

    def read(self, values: SyncedArray, shape: Sequence[int]) -> Any:
        """The values as a JAX array, through DLPack."""
        return runtime().dlpack.from_dlpack(values.read(self.place).reshape(shape))

    def write(self, values: SyncedArray, shape: Sequence[int], result: Any) -> None:
        """Copy a result, within the device."""
        target = values.memory(self.place).reshape(shape)
        target[...] = self.xp.from_dlpack(result.block_until_ready())
        self._wait()
        values.mark_written(self.place)

    def add(self, values: SyncedArray, shape: Sequence[int], result: Any) -> None:
        """Add a result, within the device."""
        target = values.write(self.place).reshape(shape)
        target += self.xp.from_dlpack(result.block_until_ready())
        self._wait()

    def _wait(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()


def arrays_of(place: Place, xp: Any) -> Arrays:
    """How to exchange arrays with JAX: within a GPU where both have one, otherwise on the host.

    Args:
        place: the net's place.
        xp: its array module.
    """
    return DeviceArrays(place, xp) if getattr(xp, "__name__", "") == "cupy" and _has_device() else HostArrays()


def _has_device() -> bool:
    try:
        return bool(runtime().devices(DEVICE))
    except RuntimeError:  # JAX was installed without CUDA
        return False
