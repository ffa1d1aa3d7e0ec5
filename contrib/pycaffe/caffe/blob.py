"""Blob: pycaffe's view of a blob, as NumPy arrays that scripts may keep and write.

The kernel keeps values in places (host, GPU, an engine's layout) and needs to know who wrote last. Scripts
write to arrays at any time, even to those obtained long before. Therefore all arrays in use by a script are
tracked: before a pass, their values on the host are taken as current; after a pass, they are updated.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.arguments import lengths
from cafx.kernel import HOST, SyncedArray
from cafx.kernel import Blob as KernelBlob


class _Tracked:
    """Host memory in use by a script: the base object of an array and of all views of it."""

    __slots__ = ("__array_interface__", "__weakref__", "memory", "values")

    def __init__(self, values: SyncedArray, memory: npt.NDArray[Any], shaped: npt.NDArray[Any]) -> None:
        self.values = values
        self.memory = memory
        self.__array_interface__ = shaped.__array_interface__

    @property
    def attached(self) -> bool:
        """Whether the blob still uses this memory."""
        return self.values.memory(HOST) is self.memory


class _Ledger:
    """The arrays in use by scripts; one ledger for all nets, since nets share parameters."""

    def __init__(self) -> None:
        self._tracked: weakref.WeakSet[_Tracked] = weakref.WeakSet()

    def array(self, values: SyncedArray, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """A tracked, writable array of the values on the host."""
        memory = values.write(HOST)
        tracked = _Tracked(values, memory, memory.reshape(shape))
        self._tracked.add(tracked)
        return np.asarray(tracked)

    def before_pass(self) -> None:
        """Take the values of tracked arrays as current."""
        for tracked in self._tracked:
            if tracked.attached and tracked.values.is_current(HOST):
                tracked.values.mark_written(HOST)

    def after_pass(self) -> None:
        """Update tracked arrays with the results of the pass."""
        for tracked in self._tracked:
            if tracked.attached:
                tracked.values.read(HOST)


ledger = _Ledger()


class Blob:
    """A blob: its values and gradient as NumPy arrays, and its shape.

    Args:
        blob: the kernel's blob.
    """

    def __init__(self, blob: KernelBlob) -> None:
        self._blob = blob

    def __repr__(self) -> str:
        return repr(self._blob)

    @property
    def data(self) -> npt.NDArray[Any]:
        """The values; the next pass uses what is written to them."""
        return ledger.array(self._blob.synced_data, self._blob.shape)

    @property
    def diff(self) -> npt.NDArray[Any]:
        """The gradient; the next pass uses what is written to it."""
        return ledger.array(self._blob.synced_diff, self._blob.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, outermost axis first."""
        return self._blob.shape

    @property
    def count(self) -> int:
        """The number of values."""
        return self._blob.count()

    @property
    def num(self) -> int:
        """The length of the first axis."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """The length of the second axis; 1 where there is none."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """The length of the third axis; 1 where there is none."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """The length of the fourth axis; 1 where there is none."""
        return self._legacy(3)

    def reshape(self, *shape: int) -> None:
        """Change the shape; call `Net.reshape` to propagate it."""
        self._blob.reshape(*lengths(shape, f"blob '{self._blob.name}'"))

    def _legacy(self, axis: int) -> int:
        return self._blob.shape[axis] if axis < self._blob.num_axes else 1
