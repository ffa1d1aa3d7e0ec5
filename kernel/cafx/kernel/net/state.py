"""What a net carries beside its parameters: random streams, layers' states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cafx.kernel.net.layer import Layer
from cafx.kernel.net.random import Streams


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
