"""Build: what the routines of one net share while it is compiled, and as long as it runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cafx.kernel import Blob
from cafx.kernel.blob import Place, SyncedArray
from cafx.kernel.net import Compilation, NetPlan
from cafx_engine_cudnn.places import ChannelsLast, Extent, PackedParameter
from cafx_engine_cudnn.scratch import Scratch


class Build(Compilation):
    """One net compiled by the cuDNN engine.

    Args:
        engine: the engine: session, precision, plans.
        plan: the net.

    Attributes:
        session, precision, plans: the engine's.
        scratch: temporary buffers.
    """

    def __init__(self, engine: Any, plan: NetPlan) -> None:
        super().__init__(engine, plan)
        self.session, self.precision, self.plans = engine.session, engine.arithmetic, engine.plans
        self.scratch = Scratch(self.session)
        self._written: dict[SyncedArray, Place] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of the scratch buffers."""
        return self.scratch.nbytes

    def extent(self, blob: Blob) -> Extent:
        """A blob's shape as channels-last; one axis is that of the images.

        A single position is the same as none: N × C × 1 × 1 and N × C are one extent.
        """
        images, channels, *spatial = (*blob.shape, 1, 1)[: max(2, len(blob.shape))]
        positions = tuple(spatial) if math.prod(spatial) > 1 else ()
        return Extent(images, channels, positions, self.precision.padded(channels))

    def channels_last(self, blob: Blob) -> ChannelsLast:
        """The channels-last place of a blob's shape, one object per shape."""
        extent = self.extent(blob)
        return self.place(extent, lambda: ChannelsLast(self.precision, extent))

    def place(self, key: Any, make: Any) -> Any:
        """The place of a key, made when it is first asked for: equal layouts are one place."""
        places = self.precision.places
        place = places.get(key)
        if place is None:
            place = places[key] = make()
        return place

    def packed(self, shape: Sequence[int], axes: Sequence[int], padded: Sequence[int]) -> PackedParameter:
        """The place of a parameter in this order."""
        key = "packed", tuple(shape), tuple(axes), tuple(padded)
        return self.place(key, lambda: PackedParameter(self.precision, shape, axes, padded))  # type: ignore[no-any-return]

    def writes(self, blob: Blob, place: Place) -> None:
        """State where a blob's writer leaves it."""
        self._written[blob.synced_data] = place

    def written_in(self, blob: Blob) -> Place:
        """Where a blob's writer leaves it: the engine's row-major place if nobody said another."""
        place: Place = self._written.get(blob.synced_data, self.engine.place)
        return place

    def is_channels_last(self, blob: Blob) -> bool:
        """Whether a blob's writer leaves it channels-last in its present shape."""
        return self.written_in(blob) is self.channels_last(blob)
