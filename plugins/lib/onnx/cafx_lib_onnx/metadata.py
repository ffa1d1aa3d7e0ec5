"""How images become a model's input: in its metadata, or in the model itself."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from cafx.kernel import CafxError

PREFIX = "cafx."
SWAP = (2, 1, 0)
MOST_LABELS_BYTES = 16 << 20


def describe(model: onnx.ModelProto, record: Any, mean: Any = None) -> None:
    """Write a record of preprocessing to a model's ``metadata_props``, and its labels.

    Args:
        model: the model.
        record: a `cafx_lib_preprocessing.Preprocessing`.
        mean: the mean image that the record names, which is written as one value per channel.
    """
    values: dict[str, Any] = {
        "channels": record.channels,
        "layout": record.layout,
        "resize": record.resize,
        "scale": record.scale,
        "mean": record.mean,
        "size": record.size,
        "crop": record.crop,
    }
    if mean is not None:
        values["mean"] = [float(value) for value in np.asarray(mean).mean(axis=(1, 2))]
        values["mean_of_image"] = True
    names = record.names()
    texts = {name: value for name, value in values.items() if value is not None}
    properties = {f"{PREFIX}{name}": json.dumps(value) for name, value in texts.items()}
    properties[f"{PREFIX}preprocessing"] = record.describe()
    if names:
        properties[f"{PREFIX}labels"] = json.dumps(names, ensure_ascii=False)
    merged = {entry.key: entry.value for entry in model.metadata_props} | properties
    helper.set_model_props(model, merged)


def properties_of(model: onnx.ModelProto) -> dict[str, Any]:
    """What `describe` wrote, by name without prefix; other properties as their text."""
    found: dict[str, Any] = {}
    for entry in model.metadata_props:
        name = entry.key.removeprefix(PREFIX)
        try:
            found[name] = json.loads(entry.value) if entry.key.startswith(PREFIX) else entry.value
        except ValueError:
            found[name] = entry.value
    return found


def bake(model: onnx.ModelProto, name: str, record: Any, mean: Any = None) -> None:
    """Put channel order, mean and scale into the model: its input becomes RGB (or gray) pixels from 0 to 255.

    Args:
        model: the model.
        name: its input of images, N×C×H×W.
        record: a `cafx_lib_preprocessing.Preprocessing`.
        mean: the mean, C×1×1 or C×H×W; None for none.

    Raises:
        CafxError: the model has no such input, or its images are not N×C×H×W.
    """
    known = [each.name for each in model.graph.input]
    if name not in known or record.layout != "CHW":
        raise CafxError("--bake-preprocess needs an input of images N×C×H×W", found=f"'{name}', {record.layout}")
    value, nodes = name, []

    def add(op: str, *inputs: str, **attributes: Any) -> None:
        nonlocal value
        output = f"{name}/{op}"
        nodes.append(helper.make_node(op, [value, *inputs], [output], name=output, **attributes))
        value = output

    def constant(array: Any, stem: str) -> str:
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), f"{name}.{stem}"))
        return f"{name}.{stem}"

    if record.channels == "BGR":
        add("Gather", constant(np.array(SWAP, np.int64), "channels"), axis=1)
    if mean is not None:
        add("Sub", constant(np.asarray(mean, np.float32)[None], "mean"))
    scale = np.asarray(record.scale, np.float32).reshape(1, -1, 1, 1)
    if (scale != 1).any():
        add("Mul", constant(scale, "scale"))
    for node in model.graph.node:
        node.input[:] = [value if each == name else each for each in node.input]
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *kept])
