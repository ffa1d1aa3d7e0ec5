"""What ``debug_info`` logs: the mean magnitude of every blob as the passes go."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from cafx.kernel import HOST, Net, SyncedArray
from cafx.kernel.net import LayerPlan, Step, learnable

log = logging.getLogger("cafx.net")


class DebugInfo:
    """Logs one line a blob to the logger ``cafx.net``, worded as Caffe's log parsers expect."""

    def __init__(self, net: Net) -> None:
        self.net = net

    def forward(self, step: Step) -> None:
        """After a step's forward: its tops, and the parameters that go into it."""
        for part in step.layers:
            for top in part.tops:
                _line("Forward", part, f"top blob {top.name} data", top.synced_data)
            for i, blob in enumerate(part.layer.blobs):
                _line("Forward", part, f"param blob {i} data", blob.synced_data)

    def backward(self, step: Step) -> None:
        """After a step's backward: the gradients of its bottoms and parameters."""
        for part in reversed(step.layers):
            for bottom, wanted in zip(part.bottoms, part.propagate_down, strict=True):
                if wanted:
                    _line("Backward", part, f"bottom blob {bottom.name} diff", bottom.synced_diff)
            for i, blob in enumerate(part.layer.blobs):
                if part.layer.param_propagate_down[i]:
                    _line("Backward", part, f"param blob {i} diff", blob.synced_diff)

    def update(self) -> None:
        """Before an update: the norms of all parameters, then each one's mean and its gradient's."""
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
                mean(parameter.blob.synced_data),
                mean(parameter.blob.synced_diff),
            )


def mean(array: SyncedArray) -> float:
    """The mean magnitude of an array's values."""
    values = array.read(HOST)
    return float(np.abs(values).mean()) if values.size else 0.0


def _norm(arrays: Sequence[Any], order: int) -> float:
    """The L1 or L2 norm of all arrays together."""
    return float(np.linalg.norm([np.linalg.norm(array.reshape(-1), order) for array in arrays], order))


def _line(which: str, planned: LayerPlan, what: str, array: Any) -> None:
    log.info("    [%s] Layer %s, %s: %g", which, planned.layer.name, what, mean(array))
