"""GraphView: an ONNX graph as the importer reads it: constants folded, every shape known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, shape_inference

from cafx.kernel import CafxError
from cafx.kernel.files import shown
from cafx_lib_onnx.files import Array, array_of

MOST_FOLDED = 1 << 16
"""Values of a constant that is computed here: those that matter are shapes."""
SMALL = 1 << 10
"""Values of a constant that shape inference gets to see."""
MOST_NODES, MOST_VALUES = 1 << 17, 1 << 31
STANDARD = ("", "ai.onnx")


class GraphView:
    """A model's graph.

    Args:
        model: the model, its weights in it.
        batch: the length of axes that the model leaves open.

    Attributes:
        version: version of ONNX's operators.
        nodes: the nodes that are not constants, in order.
        constants: the values of initializers and of what follows from constants and shapes, by name.
        inputs: the names of the inputs, in order.
        outputs: the names of the outputs, in order.

    Raises:
        CafxError: the graph is too large, reads a value before it is computed, or its shapes do not fit.
    """

    def __init__(self, model: onnx.ModelProto, batch: int) -> None:
        graph = model.graph
        if len(graph.node) > MOST_NODES:
            raise CafxError("has too many nodes", found=len(graph.node), expected=f"at most {MOST_NODES}")
        self.version = max((each.version for each in model.opset_import if each.domain in STANDARD), default=1)
        self.constants: dict[str, Array] = {}
        for tensor in graph.initializer:
            try:
                self.constants[tensor.name] = array_of(tensor)
            except CafxError as error:
                raise error.at(f"tensor '{shown(tensor.name)}'") from None
        self.inputs = [each.name for each in graph.input if each.name not in self.constants]
        self.outputs = [each.name for each in graph.output]
        self._shapes = _inferred(model, self.constants, batch)
        self.nodes: list[onnx.NodeProto] = []
        self._fold(graph)
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for value in node.input:
                self._readers.setdefault(value, []).append(node)

    def _fold(self, graph: onnx.GraphProto) -> None:
        """Keep the nodes whose outputs are not constants."""
        known = {*self.inputs, *self.constants, ""}
        for node in graph.node:
            missing = [value for value in node.input if value not in known]
            if missing:
                where = f"node '{shown(node.name or node.op_type)}'"
                raise CafxError("reads a value that is not computed before", where=where, found=shown(missing[0]))
            known.update(node.output)
            result = self._value(node)
            if result is None:
                self.nodes.append(node)
            else:
                self.constants[node.output[0]] = result

    def _value(self, node: onnx.NodeProto) -> Array | None:
        """The value of a node's output, if it is constant and cheap to know."""
        if node.domain not in STANDARD:
            return None
        if node.op_type == "Constant":
            return _constant(node)
        if node.op_type == "Shape":
            shape = self._shapes.get(node.input[0])
            bounds = {each.name: each.i for each in node.attribute}
            return (
                None if shape is None else np.array(shape[slice(bounds.get("start", 0), bounds.get("end"))], np.int64)
            )
        fold = FOLDS.get(node.op_type)
        values = [self.constants[name] for name in node.input if name in self.constants]
        if fold is None or len(values) != len(node.input) or sum(each.size for each in values) > MOST_FOLDED:
            return None
        try:
            return np.asarray(fold({each.name: helper.get_attribute_value(each) for each in node.attribute}, *values))
        except (ValueError, IndexError, TypeError, KeyError, OverflowError, np.exceptions.AxisError):
            return None

    def readers(self, value: str) -> list[onnx.NodeProto]:
        """The nodes that read a value."""
        return self._readers.get(value, [])

    def set_shape(self, value: str, shape: tuple[int, ...]) -> None:
        """Say what shape a value has that is not in the model."""
        self._shapes[value] = shape

    def shape(self, value: str) -> tuple[int, ...]:
        """The shape of a value.

        Raises:
            CafxError: it is not known.
        """
        if value in self.constants:
            return self.constants[value].shape
        shape = self._shapes.get(value)
        if shape is None:
            raise CafxError(f"the shape of value '{shown(value)}' is not known", remedy="give the input's --shape")
        return shape


def _constant(node: onnx.NodeProto) -> Array | None:
    """The value of a Constant node."""
    for attribute in node.attribute:
        if attribute.name == "value":
            return array_of(attribute.t)
        if attribute.name in ("value_float", "value_floats"):
            return np.asarray(helper.get_attribute_value(attribute), np.float32)
        if attribute.name in ("value_int", "value_ints"):
            return np.asarray(helper.get_attribute_value(attribute), np.int64)
    return None


def _inferred(model: onnx.ModelProto, constants: Mapping[str, Array], batch: int) -> dict[str, tuple[int, ...]]:
    """The shape of every value whose shape follows from the inputs', open lengths being ``batch``."""
    light = onnx.ModelProto(ir_version=max(model.ir_version, 4))
    light.opset_import.extend(model.opset_import)
    light.graph.name = "shapes"
    light.graph.node.extend(model.graph.node)
    for value in model.graph.input:
        if value.name not in constants:
            light.graph.input.append(_closed(value, batch))
    for name, array in constants.items():
        if array.size <= SMALL:
            light.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        else:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            light.graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
    light.graph.output.extend(onnx.ValueInfoProto(name=each.name) for each in model.graph.output)
    try:
        inferred = shape_inference.infer_shapes(light, data_prop=True)
    except Exception as error:  # noqa: BLE001 - onnx raises what its C++ code throws
        raise CafxError(f"its shapes do not fit: {shown(' '.join(str(error).split())[:300])}") from None
    found = {}
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        shape = value.type.tensor_type.shape
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in shape.dim):
            found[value.name] = tuple(dim.dim_value for dim in shape.dim)
            if any(dim < 0 for dim in found[value.name]) or math.prod(found[value.name]) > MOST_VALUES:
                raise CafxError(f"value '{shown(value.name)}' is too large", found=list(found[value.name]))
    return found


def _closed(value: onnx.ValueInfoProto, batch: int) -> onnx.ValueInfoProto:
    """An input with ``batch`` in place of open lengths."""
    closed = onnx.ValueInfoProto()
    closed.CopyFrom(value)
    for dim in closed.type.tensor_type.shape.dim:
        if not dim.HasField("dim_value"):
            dim.dim_value = batch
    return closed


Fold = Callable[..., Any]


def _cast(attributes: Mapping[str, Any], x: Array) -> Array:
    return x.astype(helper.tensor_dtype_to_np_dtype(attributes["to"]))


def _slice(_: Any, x: Array, starts: Array, ends: Array, axes: Any = None, steps: Any = None) -> Array:
    which = range(len(starts)) if axes is None else axes.tolist()
    by = [1] * len(starts) if steps is None else steps.tolist()
    cut = [slice(None)] * x.ndim
    for axis, start, end, step in zip(which, starts.tolist(), ends.tolist(), by, strict=True):
        cut[axis] = slice(start, end, step)
    return x[tuple(cut)]


def _filled(attributes: Mapping[str, Any], shape: Array) -> Array:
    if math.prod(shape.tolist()) > MOST_FOLDED:
        raise ValueError("too many values")
    value = attributes.get("value")
    return np.full(shape.tolist(), array_of(value).reshape(-1)[0] if value is not None else np.float32(0))


def _reshaped(_: Any, x: Array, shape: Array) -> Array:
    return x.reshape([x.shape[i] if dim == 0 else dim for i, dim in enumerate(shape.tolist())])


def _unsqueezed(attributes: Mapping[str, Any], x: Array, axes: Any = None) -> Array:
    return np.expand_dims(x, tuple(attributes["axes"] if axes is None else axes.tolist()))


def _squeezed(attributes: Mapping[str, Any], x: Array, axes: Any = None) -> Array:
    which = attributes.get("axes") if axes is None else axes.tolist()
    return np.squeeze(x, None if which is None else tuple(which))


def _divided(_: Any, x: Array, y: Array) -> Array:
    return np.trunc(x / y).astype(x.dtype) if x.dtype.kind in "iu" else x / y


FOLDS: Mapping[str, Fold] = {
    "Identity": lambda _, x: x,
    "Gather": lambda a, x, i: np.take(x, i, axis=a.get("axis", 0)),
    "Concat": lambda a, *xs: np.concatenate(xs, axis=a["axis"]),
    "Unsqueeze": _unsqueezed,
    "Squeeze": _squeezed,
    "Cast": _cast,
    "Slice": _slice,
    "Reshape": _reshaped,
    "ConstantOfShape": _filled,
    "Add": lambda _, x, y: x + y,
    "Sub": lambda _, x, y: x - y,
    "Mul": lambda _, x, y: x * y,
    "Div": _divided,
    "Neg": lambda _, x: -x,
    "Floor": lambda _, x: np.floor(x),
    "Ceil": lambda _, x: np.ceil(x),
    "Sqrt": lambda _, x: np.sqrt(x),
    "Transpose": lambda a, x: np.transpose(x, a.get("perm")),
    "ReduceProd": lambda a, x, *_: np.prod(x, keepdims=bool(a.get("keepdims", 1))),
}
"""Operators of which shapes are computed, as functions of the attributes and the inputs."""
