"""What a net carries beside its parameters: random streams, layers' states, and how to look inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cafx.kernel.blob import Blob
from cafx.kernel.net.layer import Layer
from cafx.kernel.net.plan import LayerPlan
from cafx.kernel.net.program import Observer
from cafx.kernel.net.random import Streams
from cafx.kernel.registry import Registry

DEBUG_ROLE = "debug_info"


def of_net(layers: Sequence[Layer], streams: Streams) -> dict[str, Any]:
    """Random streams and layers' own states as plain values, for an exact resume."""
    states = {layer.name: layer.state() for layer in layers}
    return {"streams": streams.state(), "layers": {name: held for name, held in states.items() if held}}


def restore(saved: Mapping[str, Any], layers: Sequence[Layer], streams: Streams) -> None:
    """Restore what `of_net` returned."""
    streams.restore(saved["streams"])
    for layer in layers:
        if layer.name in saved["layers"]:
            layer.restore(saved["layers"][layer.name])


def debug_observer(net: Any, plugins: Registry) -> Observer:
    """What logs the mean magnitude of every blob: the plugin of role ``debug_info``."""
    observer: Observer = plugins.load("role", DEBUG_ROLE)(net)
    return observer


def first_not_finite(layers: Sequence[LayerPlan]) -> tuple[str, Blob] | None:
    """The first layer, in forward order, with a NaN or infinity, and the blob it is in.

    Blobs whose memory others have used since are passed over.
    """
    for planned in layers:
        for blob in (*planned.layer.blobs, *planned.tops):
            if blob.synced_data.current and not np.isfinite(blob.host()).all():
                return planned.layer.name, blob
    return None
