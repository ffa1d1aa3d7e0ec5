"""Build: what the routines of one net share while it is compiled, and as long as it runs."""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from typing import Any

from cafx.kernel import Blob
from cafx.kernel.blob import SyncedArray
from cafx.kernel.net import Compilation, NetPlan

from .api.memory import Memory, MemoryDesc
from .layouts import Blocked, is_row_major
from .operands import Bindable, Operand
from .scratch import Scratch

FEW_VALUES = 8192
"""Fewer values of all blobs are computed by one thread."""
_kept: weakref.WeakKeyDictionary[SyncedArray, dict[Hashable, Memory]] = weakref.WeakKeyDictionary()
"""What is made of parameters, for nets that share them."""


class Build(Compilation):
    """One net compiled by the oneDNN engine.

    Args:
        engine: the engine: threads, precision and stream.
        plan: the net.

    Attributes:
        threads: the engine's number; 1 for so little work that starting others would take longer.
        scratch: temporary buffers.
        aliased: gradients in whose memory other blobs' gradients are, too.
        parts: arrays that are left in parts, and the blobs that these are.
    """

    def __init__(self, engine: Any, plan: NetPlan) -> None:
        super().__init__(engine, plan)
        values = sum(top.count_ for planned in plan.layers for top in planned.tops)
        self.threads: int = 1 if values < FEW_VALUES and not plan.has_backward else engine.threads
        self.scratch = Scratch()
        self.aliased: set[SyncedArray] = set()
        self.parts: dict[SyncedArray, tuple[Blob, ...]] = {}
        self._layouts: dict[SyncedArray, MemoryDesc] = {}
        self._kept: weakref.WeakSet[Memory] = weakref.WeakSet()

    @property
    def nbytes(self) -> int:
        """Bytes of the scratch buffers, and of what is made of parameters and kept."""
        return self.scratch.nbytes + sum(each.desc.size for each in self._kept)

    def keep(self, parameter: Bindable, purpose: Hashable, count: int) -> Memory:
        """Memory for what inference makes of a parameter, such as packed weights, until the parameter changes.

        Nets that share the parameter share this memory: they write the same to it.

        Args:
            parameter: the parameter.
            purpose: what is made of it; equal for equal content.
            count: number of float32 values.
        """
        shared = _kept.setdefault(parameter.storage, {}) if isinstance(parameter, Operand) else {}
        if purpose not in shared:
            shared[purpose] = Memory(MemoryDesc.plain((count,)))
        self._kept.add(shared[purpose])
        return shared[purpose]

    def layout_of(self, blob: Blob) -> MemoryDesc | None:
        """The layout in which a blob's writer leaves it; None for row-major."""
        desc = self._layouts.get(blob.synced_data)
        return desc if desc is not None and desc.dims == blob.shape else None

    def set_layout(self, blob: Blob, desc: MemoryDesc | None) -> None:
        """State the layout in which a blob's writer leaves it; None for row-major."""
        if desc is None or is_row_major(desc):
            self._layouts.pop(blob.synced_data, None)
        else:
            self._layouts[blob.synced_data] = desc

    def prefer_layout(self, parameter: Blob, place: Any) -> None:
        """State the layout in which a parameter is best kept."""
        if isinstance(place, Blocked):
            self.prefer_place(parameter, place)
