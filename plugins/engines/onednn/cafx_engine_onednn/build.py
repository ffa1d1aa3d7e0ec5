"""Build: what the routines of one net share while it is compiled, and as long as it runs."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Blob
from cafx.kernel.blob import SyncedArray
from cafx.kernel.net import Compilation, NetPlan

from .api.memory import MemoryDesc
from .layouts import Blocked, is_row_major
from .scratch import Scratch


class Build(Compilation):
    """One net compiled by the oneDNN engine.

    Args:
        engine: the engine: threads, precision and stream.
        plan: the net.

    Attributes:
        scratch: temporary buffers.
        aliased: gradients in whose memory other blobs' gradients are, too.
    """

    def __init__(self, engine: Any, plan: NetPlan) -> None:
        super().__init__(engine, plan)
        self.scratch = Scratch()
        self.aliased: set[SyncedArray] = set()
        self._layouts: dict[SyncedArray, MemoryDesc] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of the scratch buffers."""
        return self.scratch.nbytes

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
