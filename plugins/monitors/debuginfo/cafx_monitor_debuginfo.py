"""``debug_info``: the mean magnitude of every blob after each forward pass, backward pass and update."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from cafx.kernel import HOST, Net, SyncedArray
from cafx.kernel.net import LayerPlan, Step, learnable

log = logging.getLogger("cafx.net")


class DebugInfo:
    """Logs one line per blob to the logger ``cafx.net``, in the format that Caffe's log parsers expect.

    Args:
        net: the net to observe.
    """

    def __init__(self, net: Net) -> None:
        self.net = net

    def forward(self, step: Step) -> None:
        """After a step's forward pass: log its tops and parameters."""
        for part in step.layers:
            for top in part.tops:
                _log_blob("Forward", part, f"top blob {top.name} data", top.synced_data)
            for i, blob in enumerate(part.layer.blobs):
                _log_blob("Forward", part, f"param blob {i} data", blob.synced_data)

    def backward(self, step: Step) -> None:
        """After a step's backward pass: log its input and parameter gradients."""
        for part in reversed(step.layers):
            for bottom, needs_gradient in zip(part.bottoms, part.propagate_down, strict=True):
                if needs_gradient:
                    _log_blob("Backward", part, f"bottom blob {bottom.name} diff", bottom.synced_diff)
            for i, blob in enumerate(part.layer.blobs):
                if part.layer.param_propagate_down[i]:
                    _log_blob("Backward", part, f"param blob {i} diff", blob.synced_diff)

    def update(self) -> None:
        """Before an update: log the norms of all parameters, and the magnitude of each and of its gradient."""
        parameters = learnable(self.net.parameters)
        data = [parameter.blob.host() for parameter in parameters]
        diff = [parameter.blob.synced_diff.read(HOST) for parameter in parameters]
        log.info(
            "    [Backward] All net params (data, diff): L1 norm = (%g, %g); L2 norm = (%g, %g)",
            _norm(data, 1),
            _norm(diff, 1),
            _norm(data, 2),
            _norm(diff, 2),
        )
        for parameter in parameters:
            log.info(
                "    [Update] Layer %s, param %s data: %g; diff: %g",
                self.net.layer_names[parameter.layer],
                parameter.name,
                mean_magnitude(parameter.blob.synced_data),
                mean_magnitude(parameter.blob.synced_diff),
            )


def mean_magnitude(array: SyncedArray) -> float:
    """The mean absolute value; 0 for an empty array."""
    values = array.read(HOST)
    return float(np.abs(values).mean()) if values.size else 0.0


def _norm(arrays: Sequence[Any], order: int) -> float:
    """The L1 or L2 norm of the concatenated arrays."""
    return float(np.linalg.norm([np.linalg.norm(array.reshape(-1), order) for array in arrays], order))


def _log_blob(direction: str, planned: LayerPlan, blob: str, array: SyncedArray) -> None:
    log.info("    [%s] Layer %s, %s: %g", direction, planned.layer.name, blob, mean_magnitude(array))
