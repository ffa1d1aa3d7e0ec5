"""ONNX files: written whole, with large weights beside them; read with every size and path checked."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from cafx.kernel import CafxError
from cafx.kernel.files import atomic_write, open_file, read_file, shown, unreadable

LARGEST = (1 << 31) - (1 << 20)
"""Bytes that a protobuf message may have, less some for the rest of the model."""
LEAST_EXTERNAL = 1024
"""Bytes from which on a tensor goes to the file of weights, if there is one."""
ALIGNMENT = 4096
LOCATION, OFFSET, LENGTH = "location", "offset", "length"
MOST_AXES = 32
Array = npt.NDArray[Any]


def save_model(model: onnx.ModelProto, path: str | Path, *, external: bool | None = None) -> list[Path]:
    """Write a model; weights that do not fit into one message go to ``path`` + ``.data``.

    Args:
        model: the model; left as it is.
        path: the file.
        external: write weights beside the model; by default if they are too large.

    Returns:
        The files that were written.

    Raises:
        CafxError: a file cannot be written; no file is left unfinished.
    """
    path = Path(path)
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if not (size > LARGEST if external is None else external):
        with atomic_write(path) as file:
            file.write(model.SerializeToString())
        return [path]
    beside = path.with_name(f"{path.name}.data")
    with ExitStack() as stack:
        file = stack.enter_context(atomic_write(path))
        data = stack.enter_context(atomic_write(beside))
        file.write(_without_weights(model, data, beside.name).SerializeToString())
    return [path, beside]


def _without_weights(model: onnx.ModelProto, data: Any, location: str) -> onnx.ModelProto:
    """A copy of the model that refers to large tensors, which are written to ``data``."""
    copied = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name != "graph":
            _copy(copied, field, value)
    for field, value in model.graph.ListFields():
        if field.name != "initializer":
            _copy(copied.graph, field, value)
    position = 0
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) < LEAST_EXTERNAL:
            copied.graph.initializer.add().CopyFrom(tensor)
            continue
        padding = -position % ALIGNMENT
        data.write(b"\0" * padding + tensor.raw_data)
        place = {LOCATION: location, OFFSET: position + padding, LENGTH: len(tensor.raw_data)}
        position += padding + len(tensor.raw_data)
        reference = copied.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        reference.data_location = onnx.TensorProto.EXTERNAL
        for key, value in place.items():
            reference.external_data.add(key=key, value=str(value))
    return copied


def _copy(target: Any, field: Any, value: Any) -> None:
    """Copy one field of a message."""
    if field.type == field.TYPE_MESSAGE:
        copied = getattr(target, field.name)
        copied.extend(value) if hasattr(value, "extend") else copied.CopyFrom(value)
    else:
        setattr(target, field.name, value)


def read_model(path: str | Path) -> onnx.ModelProto:
    """Read a model and its weights, in the file and beside it.

    Args:
        path: the file.

    Raises:
        CafxError: it cannot be read, is no ONNX model, or refers to weights outside of its folder or of another size.
    """
    try:
        size = os.stat(path).st_size  # noqa: PTH116 - a path may be bytes that no Path takes
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    if size > LARGEST:
        raise CafxError("is too large for an ONNX model", where=shown(path), found=f"{size} bytes")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(read_file(path))
    except DecodeError:
        model.Clear()
    if not model.graph.node or not model.opset_import:
        expected = "a model with a graph and a version of operators"
        raise CafxError("is not an ONNX model", where=shown(path), expected=expected)
    properties = [text for entry in model.metadata_props for text in (entry.key, entry.value)]
    if not all(isinstance(name, str) for name in (*_names(model.graph), *properties)):
        raise CafxError("has a name that is not text", where=shown(path), expected="UTF-8")
    for tensor in tensors(model.graph):
        try:
            _load_external(tensor, Path(path))
        except CafxError as error:
            raise error.at(f"{shown(path)}: tensor '{shown(tensor.name)}'") from None
    return model


def _names(graph: onnx.GraphProto) -> Iterator[Any]:
    """All names in a graph: of nodes, values, tensors and attributes."""
    yield graph.name
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield from (value.name, *(dim.dim_param for dim in value.type.tensor_type.shape.dim))
    for tensor in tensors(graph):
        yield from (tensor.name, *(text for entry in tensor.external_data for text in (entry.key, entry.value)))


def tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All tensors of a graph and of its nodes, those of subgraphs included."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in [attribute.g] * attribute.HasField("g") + list(attribute.graphs):
                yield from tensors(inner)


def _load_external(tensor: onnx.TensorProto, model: Path) -> None:
    """Bring a tensor's values from the file that it refers to into the tensor."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return
    place = {entry.key: entry.value for entry in tensor.external_data}
    name = place.get(LOCATION, "")
    folder = model.resolve().parent
    path = folder / name
    if not name or "\0" in name or Path(name).is_absolute() or not path.resolve().is_relative_to(folder):
        raise CafxError("its weights are not in the model's folder", found=shown(repr(name)))
    expected = count_of(tensor) * itemsize(tensor)
    try:
        offset, length = int(place.get(OFFSET, 0)), int(place.get(LENGTH, expected))
    except ValueError:
        raise CafxError("says no number where its weights are", found=shown(repr(place))) from None
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if length != expected or not 0 <= offset <= size - length:
            found = f"{length} bytes at {offset} of {size}"
            raise CafxError("its weights are not where it says", found=found, expected=f"{expected} bytes")
        file.seek(offset)
        tensor.raw_data = file.read(length)
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def count_of(tensor: onnx.TensorProto) -> int:
    """The number of a tensor's values.

    Raises:
        CafxError: an axis is negative, or there are too many.
    """
    if len(tensor.dims) > MOST_AXES or any(dim < 0 for dim in tensor.dims):
        raise CafxError("has no valid shape", found=list(tensor.dims)[:MOST_AXES])
    return math.prod(tensor.dims)


def itemsize(tensor: onnx.TensorProto) -> int:
    """Bytes of one of a tensor's values.

    Raises:
        CafxError: the type is unknown.
    """
    try:
        return int(np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize)
    except (KeyError, TypeError):
        raise CafxError("has an unknown type", found=tensor.data_type) from None


def array_of(tensor: onnx.TensorProto) -> Array:
    """A tensor's values, its size checked before memory is allocated.

    Raises:
        CafxError: the values do not have the size of the shape.
    """
    count = count_of(tensor)
    if tensor.HasField("raw_data") and len(tensor.raw_data) != count * itemsize(tensor):
        found, expected = f"{len(tensor.raw_data)} bytes", f"{count * itemsize(tensor)}, for {list(tensor.dims)}"
        raise CafxError("has values of another size than its shape", found=found, expected=expected)
    if not tensor.HasField("raw_data"):
        given = [len(getattr(tensor, f"{kind}_data")) for kind in ("float", "int32", "int64", "double", "uint64")]
        if count not in given:
            raise CafxError("has values of another number than its shape", found=max(given), expected=count)
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError) as error:
        raise CafxError(f"cannot be read: {shown(str(error))}") from None
