"""Layers of forks that compute value by value, or normalise."""

from __future__ import annotations

from typing import Any

import numpy as np

from cafx_lib_onnx import Converter, Exporter
from cafx_onnx_standard.normalisation import deviations


class Axpy(Converter):
    """Mul and Add."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = a x + z."""
        factors, x, z = context.bottoms
        shape = (*context.shape(x)[:2], *[1] * (len(context.shape(x)) - 2))
        shaped = factors if context.shape(factors) == shape else context.reshape(factors, shape)
        context.add("Add", [context.add("Mul", [shaped, x]), z], context.tops)


class BN(Converter):
    """BatchNormalization; with the batch's statistics, ReduceMean twice."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = γ (x − μ) / √(σ² + eps) + β."""
        slope, bias = (blob.host().reshape(-1) for blob in layer.blobs[:2])
        x = context.bottoms[0]
        if layer.uses_running_statistics:
            mean, variance = (np.asarray(each) for each in layer.running_statistics())
            values = (("slope", slope), ("bias", bias), ("mean", mean), ("variance", variance))
            constants = [context.constant(array, name) for name, array in values]
            context.add("BatchNormalization", [x, *constants], context.tops, epsilon=layer.eps)
            return
        axes = (0, *range(2, len(context.shape(x))))
        mean, variance, centred, deviation = deviations(context, x, axes, layer.eps)
        shape = (-1, *[1] * (len(context.shape(x)) - 2))
        scaled = context.add(
            "Mul", [context.add("Div", [centred, deviation]), context.constant(slope.reshape(shape), "slope")]
        )
        context.add("Add", [scaled, context.constant(bias.reshape(shape), "bias")], context.tops[:1])
        for value, top in zip((mean, variance), context.tops[1:], strict=False):
            context.reshape(value, context.shape(top), [top])


class Normalize(Converter):
    """ReduceSumSquare, Sqrt and Div, then Mul by the scale."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = s x / √(Σ x² + eps)."""
        x, options = context.bottoms[0], layer.options
        count = len(context.shape(x))
        axes = context.indices(*(range(1, count) if options.across_spatial else (1,)))
        total = context.add("ReduceSumSquare", [x, axes])
        norm = context.add("Sqrt", [context.add("Add", [total, context.number(options.eps)])])
        scale = layer.blobs[0].host()
        shaped = scale if options.channel_shared else scale.reshape(-1, *[1] * (count - 2))
        context.add("Mul", [context.add("Div", [x, norm]), context.constant(shaped, "scale")], context.tops)


class LayerNorm(Converter):
    """ReduceMean twice over all axes but the first two."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = (x − μ) / √(σ² + epsilon)."""
        x = context.bottoms[0]
        if layer.options.enable_passthrough:
            context.alias(x)
            return
        axes = tuple(range(2, len(context.shape(x))))
        _, _, centred, deviation = deviations(context, x, axes, layer.options.epsilon)
        context.add("Div", [centred, deviation], context.tops)


class ReLU6(Converter):
    """Clip; with a slope, the smaller of LeakyRelu and 6."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = min(max(x, 0), 6) + slope · min(x, 0)."""
        slope = layer.options.negative_slope
        if not slope:
            context.add("Clip", [*context.bottoms, context.number(0), context.number(6)], context.tops)
            return
        leaky = context.add("LeakyRelu", context.bottoms, alpha=slope)
        if slope > 0:
            context.add("Min", [leaky, context.number(6)], context.tops)
            return
        capped = context.add("Clip", [*context.bottoms, context.number(0), context.number(6)])
        below = context.add("Min", [*context.bottoms, context.number(0)])
        context.add("Add", [capped, context.add("Mul", [below, context.number(slope)])], context.tops)
