"""ONNX's arithmetic, with constants and broadcasting, as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cafx_lib_onnx import Importer

OPERATIONS = {"Add": "SUM", "Sub": "SUM", "Sum": "SUM", "Mul": "PROD", "Max": "MAX"}


def import_arithmetic(context: Importer) -> None:
    """Add, Sub, Mul, Div, Sum or Max as Eltwise, Power, Scale or Bias.

    Args:
        context: the node.

    Raises:
        NoLayerForm: operands that no layer broadcasts.
    """
    _without_division(context)
    constants = [context.constant(index) for index in range(len(context.inputs))]
    if len(constants) == 1:
        context.alias()
    elif len(constants) == 2 and any(value is not None for value in constants) and context.op != "Max":
        _with_constant(context, constants)
    elif len({context.shape(index) for index in range(len(constants))}) == 1 and context.op in OPERATIONS:
        options = context.add("Eltwise", context.inputs).eltwise_param
        options.operation = getattr(options, OPERATIONS[context.op])
        if context.op == "Sub":
            options.coeff.extend([1, -1])
    elif len(constants) == 2 and context.op in ("Add", "Mul"):
        _broadcast(context)
    else:
        raise context.unsupported("operands of different shapes")


def _without_division(context: Importer) -> None:
    """Make x / y a product with 1 / y, and x − y of different shapes a sum with −y, where y is no constant."""
    if context.op not in ("Div", "Sub") or context.constant(1) is not None:
        return
    alike = context.shape(0) == context.shape(1)
    if context.op == "Sub" and (alike or context.constant(0) is not None):
        return
    changed = context.inner("inverse" if context.op == "Div" else "negative")
    options = context.add("Power", context.inputs[1:2], [changed], name=changed).power_param
    if context.op == "Div":
        options.power = -1
    else:
        options.scale = -1
    context.view.set_shape(changed, context.shape(1))
    context.inputs[1], context.op = changed, "Mul" if context.op == "Div" else "Add"


def _with_constant(context: Importer, constants: Sequence[Any]) -> None:
    """One operand is constant: a Power for a single number, else a Scale or a Bias."""
    index = 1 if constants[1] is not None else 0
    value, blob, op = np.asarray(constants[index], np.float32), context.inputs[1 - index], context.op
    if op == "Div":
        op, value = "Mul", 1 / value
    sign = -1 if op == "Sub" and index == 0 else 1
    if op == "Sub" and index == 1:
        value = -value
    if value.size == 1:
        options = context.add("Power", [blob]).power_param
        if op == "Mul":
            options.scale = float(value.reshape(-1)[0])
        else:
            options.shift, options.scale = float(value.reshape(-1)[0]), sign
        return
    axis, shape = _axes(context, value.shape, context.shape(1 - index))
    if sign < 0:
        negative = context.inner("negative")
        context.add("Power", [blob], [negative], name=f"{context.name}/negative").power_param.scale = -1
        blob = negative
    type_name, field = ("Scale", "scale_param") if op == "Mul" else ("Bias", "bias_param")
    options = getattr(context.add(type_name, [blob], weights=[value.reshape(shape)]), field)
    options.axis, options.num_axes = axis, len(shape)


def _axes(context: Importer, small: Sequence[int], large: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """Where an operand without its outer axes of length 1 belongs in a blob: the first axis, and its shape there."""
    padded = (1,) * (len(large) - len(small)) + tuple(small)
    wide = [axis for axis, length in enumerate(padded) if length != 1]
    shape = padded[wide[0] : wide[-1] + 1] if wide else ()
    if len(padded) != len(large) or (wide and shape != tuple(large[wide[0] : wide[-1] + 1])):
        raise context.unsupported(f"an operand of shape {list(small)} for {list(large)}")
    return wide[0] if wide else 0, shape


def _broadcast(context: Importer) -> None:
    """A blob that is broadcast against a larger one: its outer axes of length 1 are cut off."""
    first = 0 if len(context.shape(0)) >= len(context.shape(1)) and context.shape(0) == context.output_shape() else 1
    large, small = context.inputs[first], context.inputs[1 - first]
    shape = context.shape(1 - first)
    axis, kept = _axes(context, shape, context.shape(first))
    if context.shape(first) != context.output_shape():
        raise context.unsupported("operands that are both broadcast")
    if kept != shape:
        squeezed = context.inner("operand")
        layer = context.add("Reshape", [small], [squeezed], name=f"{context.name}/operand")
        layer.reshape_param.shape.dim.extend([0 if axis == i else n for i, n in enumerate(kept)] if axis == 0 else kept)
        small = squeezed
    type_name, field = ("Scale", "scale_param") if context.op == "Mul" else ("Bias", "bias_param")
    getattr(context.add(type_name, [large, small]), field).axis = axis
