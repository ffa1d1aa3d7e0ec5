"""Layers that combine blobs, or a blob with a parameter, value by value."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from cafx_lib_onnx import Converter, Exporter
from cafx_onnx_standard.arithmetic import import_arithmetic


class Eltwise(Converter):
    """Sum, Mul or Max; factors other than 1 by a Mul each."""

    operators = ("Add", "Sub", "Mul", "Div", "Sum", "Max")
    import_ = staticmethod(import_arithmetic)

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = Σ cᵢ xᵢ, Π xᵢ or max xᵢ."""
        operation, values = layer.options.operation.name, list(context.bottoms)
        if operation == "MAX":
            context.add("Max", values, context.tops)
            return
        if operation == "PROD":
            for value in values[1:-1]:
                values[0] = context.add("Mul", [values[0], value])
            context.add("Mul", [values[0], values[-1]], context.tops)
            return
        terms = [
            value if factor == 1 else context.add("Mul", [value, context.number(factor)])
            for value, factor in zip(values, layer.coefficients, strict=True)
        ]
        context.add("Add" if len(terms) == 2 else "Sum", terms, context.tops)


def _operand(layer: Any, context: Exporter, index: int, given: bool) -> str:
    """The second bottom, or the parameter at ``index``, shaped to be broadcast against the first bottom."""
    axes = len(context.shape(context.bottoms[0]))
    own = context.shape(context.bottoms[1]) if given else layer.blobs[index].shape
    axis = context.axis(context.bottoms[0], layer.options.axis) if own else 0
    after = axes - axis - len(own) if own else 0
    shape = (*own, *[1] * after)
    if given:
        return context.reshape(context.bottoms[1], shape) if after else context.bottoms[1]
    return context.constant(layer.blobs[index].host().reshape(tuple(int(d) for d in shape)), str(index))


class Scale(Converter):
    """Mul and Add; after a BatchNorm that nothing else reads, its BatchNormalization's scale and bias."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = s · x + b."""
        if _fold(layer, context):
            return
        biased = layer.options.bias_term
        product = context.add(
            "Mul",
            [context.bottoms[0], _operand(layer, context, 0, len(context.bottoms) > 1)],
            None if biased else context.tops,
        )
        if biased:
            context.add("Add", [product, _operand(layer, context, len(layer.blobs) - 1, False)], context.tops)


def _fold(layer: Any, context: Exporter) -> bool:
    """Write the scale into the BatchNormalization before it, if there is one that is not scaled yet."""
    value = context.bottoms[0]
    node = context.producer(value)
    learned = len(context.bottoms) == 1 and len(layer.blobs[0].shape) == 1 and layer.view[0] and layer.options.axis == 1
    plain = node is not None and node.op_type == "BatchNormalization" and node.name.endswith(UNSCALED)
    if not (learned and plain and context.used_once(value)):
        return False
    assert node is not None
    bias = layer.blobs[-1].host() if layer.options.bias_term else np.zeros(layer.blobs[0].shape, np.float32)
    node.input[1] = context.constant(layer.blobs[0].host(), "scale")
    node.input[2] = context.constant(bias, "bias")
    node.name = node.name.removesuffix(UNSCALED)
    context.alias(value)
    return True


UNSCALED = "/unscaled"
"""Ending of the name of a BatchNormalization whose scale is 1 and whose bias is 0."""


class Bias(Converter):
    """Add."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = x + b."""
        context.add("Add", [context.bottoms[0], _operand(layer, context, 0, len(context.bottoms) > 1)], context.tops)


class BatchReindex(Converter):
    """Gather."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """yᵢ = x[kᵢ]."""
        indices = context.add("Cast", [context.bottoms[1]], to=onnx.TensorProto.INT64)
        context.add("Gather", [context.bottoms[0], indices], context.tops, axis=0)


class Filter(Converter):
    """Compress by the selector."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = x[s ≠ 0]."""
        flat = context.add("Reshape", [context.bottoms[-1], context.indices(-1)])
        kept = context.add("Cast", [flat], to=onnx.TensorProto.BOOL)
        for value, top in zip(context.bottoms[:-1], context.tops, strict=True):
            context.add("Compress", [value, kept], [top], axis=0)
            shape = context.shape(top)
            context.graph.shapes[top] = (f"{top}_kept", *shape[1:])
