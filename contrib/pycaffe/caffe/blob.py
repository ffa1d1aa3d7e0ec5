"""Blob: pycaffe's view of a blob, with NumPy arrays that may be written and kept.

The kernel holds values in places (host, a GPU, an engine's layout), and whoever writes must say so.
pycaffe's users write into arrays at any time, also ones they took long ago. So what is handed out is
remembered for as long as somebody holds it: before a pass the host's values of these count as the
newest, after a pass they are brought up to date.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import HOST, SyncedArray
from cafx.kernel import Blob as KernelBlob


class _Held:
    """Host memory in somebody's hands: the base of the array handed out and of all views of it."""

    __slots__ = ("__array_interface__", "__weakref__", "memory", "values")

    def __init__(self, values: SyncedArray, memory: npt.NDArray[Any], shaped: npt.NDArray[Any]) -> None:
        self.values = values
        self.memory = memory
        self.__array_interface__ = shaped.__array_interface__

    @property
    def alive(self) -> bool:
        """Whether this is still where the host's values lie."""
        return self.values.memory(HOST) is self.memory


class _Ledger:
    """What was handed out; nets share parameters, so one book is kept for all."""

    def __init__(self) -> None:
        self._held: weakref.WeakSet[_Held] = weakref.WeakSet()

    def array(self, values: SyncedArray, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """The host's values as an array to read and write."""
        memory = values.write(HOST)
        held = _Held(values, memory, memory.reshape(shape))
        self._held.add(held)
        return np.asarray(held)

    def before_pass(self) -> None:
        """What lies in arrays in somebody's hands is the newest."""
        for held in self._held:
            if held.alive and held.values.is_current(HOST):
                held.values.mark_written(HOST)

    def after_pass(self) -> None:
        """Let arrays in somebody's hands show what the pass wrote."""
        for held in self._held:
            if held.alive:
                held.values.read(HOST)


ledger = _Ledger()


class Blob:
    """A blob's values ``data`` and gradient ``diff`` as NumPy arrays, and its shape."""

    def __init__(self, blob: KernelBlob) -> None:
        self._blob = blob

    def __repr__(self) -> str:
        return repr(self._blob)

    @property
    def data(self) -> npt.NDArray[Any]:
        """The values: written ones are seen by the next pass."""
        return ledger.array(self._blob.synced_data, self._blob.shape)

    @property
    def diff(self) -> npt.NDArray[Any]:
        """The gradient: written ones are seen by the next pass."""
        return ledger.array(self._blob.synced_diff, self._blob.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
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
        """Take another shape."""
        self._blob.reshape(*(int(length) for length in shape))

    def _legacy(self, axis: int) -> int:
        return self._blob.shape[axis] if axis < self._blob.num_axes else 1
