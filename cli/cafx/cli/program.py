"""A net's program as plain values: steps, routines, shapes and memory."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Blob, Net
from cafx.kernel.net import Step


def describe(net: Net) -> dict[str, Any]:
    """Name, state, every step and the memory of a net, ready for JSON.

    Returns:
        ``name``, ``phase``, ``engine``, ``inputs``, ``outputs``; ``layers``, one row per step;
        ``parameters``, their number, shared ones counted once; ``memory`` in bytes, where
        ``pooled`` is the size of blobs that share buffers and ``pool`` that of the buffers,
        ``total`` that of everything in use while passes run, and ``conversions`` the number of
        conversions between layouts or places per pass.
    """
    parameters = {id(blob): blob for blobs in net.params.values() for blob in blobs}
    unique = {id(blob.synced_data): blob for blob in parameters.values()}
    blobs = {id(blob.synced_data): blob for blob in net.blobs.values()}
    return {
        "name": net.name,
        "phase": net.phase.name,
        "engine": net.engine.name,
        "inputs": net.inputs,
        "outputs": net.outputs,
        "layers": [_row(step, net) for step in net.program.steps],
        "parameters": sum(blob.count_ for blob in unique.values()),
        "memory": {
            "parameters": sum(map(_nbytes, unique.values())),
            "blobs": sum(map(_nbytes, blobs.values())),
            "pooled": net.memory.alone,
            "pool": net.memory.pool,
            "total": net.program.nbytes,
            "conversions": net.memory.conversions,
        },
    }


def _row(step: Step, net: Net) -> dict[str, Any]:
    parts = step.layers
    parameters = [blob for part in parts for blob in part.layer.blobs]
    outputs = {id(blob.synced_data): blob for part in parts for blob in part.tops if blob not in part.bottoms}
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
        "bytes": sum(map(_nbytes, [*outputs.values(), *parameters])),
    }


def _place(step: Step, net: Net) -> str:
    """Where the routine works."""
    return step.routines[0].place_of(step.tops[0]).name if step.tops else net.engine.place.name


def _blob(blob: Blob) -> dict[str, Any]:
    return {"name": blob.name, "shape": list(blob.shape)}


def _nbytes(blob: Blob) -> int:
    return blob.count_ * blob.dtype.itemsize
