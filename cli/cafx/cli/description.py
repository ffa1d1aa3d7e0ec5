"""A net's schedule as plain values."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Blob, Net
from cafx.kernel.net import Step


def describe(net: Net) -> dict[str, Any]:
    """Name, state, each step, and what memory it all takes, ready for JSON."""
    learned = {id(blob): blob for blobs in net.params.values() for blob in blobs}
    shared = {id(blob.synced_data): blob for blob in learned.values()}
    blobs = {id(blob.synced_data): blob for blob in net.blobs.values()}
    return {
        "name": net.name,
        "phase": net.phase.name,
        "engine": net.engine.name,
        "inputs": net.inputs,
        "outputs": net.outputs,
        "layers": [_row(step, net) for step in net.program.steps],
        "parameters": sum(blob.count_ for blob in shared.values()),
        "memory": {
            "parameters": sum(map(_nbytes, shared.values())),
            "blobs": sum(map(_nbytes, blobs.values())),
            "pooled": net.memory.alone,
            "pool": net.memory.pool,
        },
    }


def _row(step: Step, net: Net) -> dict[str, Any]:
    parts = step.layers
    parameters = [blob for part in parts for blob in part.layer.blobs]
    made = {id(blob.synced_data): blob for part in parts for blob in part.tops if blob not in part.bottoms}
    return {
        "name": step.name,
        "type": "+".join(part.layer.type for part in parts),
        "routine": step.run_by,
        "note": step.note,
        "place": _place(step, net),
        "backward": step.needs_backward,
        "bottoms": [_blob(blob) for blob in step.bottoms],
        "tops": [_blob(blob) for blob in step.tops],
        "parameters": sum(blob.count_ for blob in parameters),
        "parameter_shapes": [list(blob.shape) for blob in parameters],
        "bytes": sum(map(_nbytes, [*made.values(), *parameters])),
    }


def _place(step: Step, net: Net) -> str:
    """The routine's own place where it names one, else the engine's."""
    return step.routines[0].place_of(step.layers[0].tops[0]).name if step.tops else net.engine.place.name


def _blob(blob: Blob) -> dict[str, Any]:
    return {"name": blob.name, "shape": list(blob.shape)}


def _nbytes(blob: Blob) -> int:
    return blob.count_ * blob.dtype.itemsize
