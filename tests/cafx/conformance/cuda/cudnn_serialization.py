"""Built plans as bytes, and back."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from .cudnn_names import BACKEND_VERSION, FRONTEND_VERSION, BehaviorNote, DataType
from .cudnn_nodes import Node
from .cudnn_plans import Plan
from .cudnn_tensor import Tensor

VERSIONS = [FRONTEND_VERSION, BACKEND_VERSION]
CHECKSUM_BYTES = 4


def pack(nodes: Sequence[Node], tensors: Sequence[Tensor], plan: Plan) -> list[int]:
    """A graph with one built plan, as bytes' values."""
    at = {id(tensor): index for index, tensor in enumerate(tensors)}
    content = {
        "versions": VERSIONS,
        "tensors": [
            [x.get_dim(), x.get_stride(), x.get_data_type().name, x.get_is_virtual(), x.get_name(), x.uid]
            for x in tensors
        ],
        "nodes": [
            {
                "operation": node.operation,
                "inputs": {role: at[id(tensor)] for role, tensor in node.inputs.items()},
                "output": at[id(node.output)],
                "compute": node.compute.name,
                "options": node.options,
            }
            for node in nodes
        ],
        "plan": [plan.name, plan.workspace, sorted(note.name for note in plan.behavior)],
    }
    data = json.dumps(content).encode()
    return [*zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "big"), *data]


def unpack(data: Any, classes: Mapping[str, type[Node]]) -> tuple[list[Node], list[Tensor], Plan]:
    """What ``pack`` was given.

    Raises:
        RuntimeError: the data are damaged, of another version, or ``bytes``, which the binding does not take.
    """
    if isinstance(data, bytes | str) or not isinstance(data, Sequence | bytearray):
        raise RuntimeError(f"Unable to cast Python instance of type {type(data)} to C++ type")  # noqa: TRY004 - as the binding does
    checksum, body = bytes(data[:CHECKSUM_BYTES]), bytes(data[CHECKSUM_BYTES:])
    if zlib.crc32(body) != int.from_bytes(checksum, "big") or not body:
        raise RuntimeError("[json.exception.parse_error.112] parse error: the serialized plan is damaged")
    content = json.loads(body)
    if content["versions"] != VERSIONS:
        raise RuntimeError(f"a plan of versions {content['versions']}, these are {VERSIONS}")
    tensors = [
        Tensor(dim, stride, DataType[kind], virtual, name, uid)
        for dim, stride, kind, virtual, name, uid in content["tensors"]
    ]
    nodes = [restored(node, tensors, classes) for node in content["nodes"]]
    name, workspace, behavior = content["plan"]
    notes = frozenset(BehaviorNote[note] for note in behavior)
    return nodes, tensors, Plan(name, workspace, behavior=notes, built=True)


def restored(node: dict[str, Any], tensors: Sequence[Tensor], classes: Mapping[str, type[Node]]) -> Node:
    """One node."""
    inputs = {role: tensors[index] for role, index in node["inputs"].items()}
    make = classes[node["operation"]]
    return make(node["operation"], inputs, tensors[node["output"]], DataType[node["compute"]], node["options"])
