"""Layers that normalise: BatchNorm, LRN, MVN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cafx_lib_onnx import Converter, Exporter, Importer
from cafx_onnx_standard.combination import UNSCALED

IMAGE_AXES = 4


class BatchNorm(Converter):
    """BatchNormalization with scale 1 and bias 0, which a Scale that follows writes into."""

    operators = ("BatchNormalization",)

    @staticmethod
    def import_(context: Importer) -> None:
        """A BatchNorm, and a Scale unless it would change nothing."""
        if context.attribute("training_mode", 0) or not context.attribute("spatial", 1):
            raise context.unsupported("training_mode, or statistics per position")
        scale, bias, mean, variance = (context.required(index, "a parameter") for index in range(1, 5))
        scaled = bool((scale != 1).any() or (bias != 0).any())
        normalised = context.inner("normalised") if scaled else context.outputs[0]
        name = context.node.name.strip("/") or context.name
        layer = context.add("BatchNorm", outputs=[normalised], weights=[mean, variance, [1]], name=name)
        layer.batch_norm_param.eps = context.attribute("epsilon", 1e-5)
        layer.batch_norm_param.moving_average_fraction = context.attribute("momentum", 0.9)
        if scaled:
            name = context.name if context.name != name else f"{name}/scale"
            context.add("Scale", [normalised], weights=[scale, bias], name=name).scale_param.bias_term = True

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = (x − μ) / √(σ² + eps)."""
        if not layer.uses_running_statistics:
            x = context.bottoms[0]
            axes = (0, *range(2, len(context.shape(x))))
            _, _, centred, deviation = deviations(context, x, axes, layer.eps)
            context.add("Div", [centred, deviation], context.tops)
            return
        mean, variance = layer.running_statistics()
        ones, zeros = np.ones_like(mean), np.zeros_like(mean)
        statistics = [
            context.constant(values, name)
            for values, name in ((ones, "one"), (zeros, "zero"), (mean, "mean"), (variance, "variance"))
        ]
        context.add("BatchNormalization", [*context.bottoms, *statistics], context.tops, epsilon=layer.eps)
        node = context.producer(context.tops[0])
        assert node is not None
        node.name += UNSCALED


def deviations(context: Exporter, x: str, axes: Sequence[int], eps: float) -> tuple[str, str, str, str]:
    """Append the statistics of a value over axes: its mean, variance, x − mean and √(variance + eps).

    Args:
        context: the graph.
        x: the value.
        axes: the axes; if there are none, the mean is x itself.
        eps: added to the variance.
    """
    mean = context.add("ReduceMean", [x, context.indices(*axes)]) if axes else x
    centred = context.add("Sub", [x, mean])
    square = context.add("Mul", [centred, centred])
    variance = context.add("ReduceMean", [square, context.indices(*axes)]) if axes else square
    deviation = context.add("Sqrt", [context.add("Add", [variance, context.number(eps)])])
    return mean, variance, centred, deviation


class LRN(Converter):
    """LRN across channels; within a channel, the mean square of each window."""

    operators = ("LRN",)

    @staticmethod
    def import_(context: Importer) -> None:
        """An LRN across channels."""
        size = context.attribute("size")
        if size % 2 == 0 or len(context.shape()) != IMAGE_AXES:
            raise context.unsupported("an even size, or other arrays than N×C×H×W")
        options = context.add("LRN").lrn_param
        options.local_size, options.alpha = size, context.attribute("alpha", 1e-4)
        options.beta, options.k = context.attribute("beta", 0.75), context.attribute("bias", 1.0)

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = x / s^β."""
        options, x = layer.options, context.bottoms[0]
        if layer.across_channels:
            context.add(
                "LRN",
                [x],
                context.tops,
                alpha=options.alpha,
                beta=options.beta,
                bias=options.k,
                size=options.local_size,
            )
            return
        kernel, pad = [options.local_size] * 2, [options.local_size // 2] * 4
        square = context.add("Mul", [x, x])
        mean = context.add("AveragePool", [square], kernel_shape=kernel, pads=pad, strides=[1, 1], count_include_pad=1)
        scaled = context.add("Mul", [mean, context.number(options.alpha)])
        divisor = context.add("Pow", [context.add("Add", [scaled, context.number(1)]), context.number(options.beta)])
        context.add("Div", [x, divisor], context.tops)


class MVN(Converter):
    """ReduceMean twice: ONNX's MeanVarianceNormalization adds its own eps, and to the variance."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = (x − m) / (√v + eps)."""
        x, options = context.bottoms[0], layer.options
        axes = context.indices(*range(1 if options.across_channels else 2, len(context.shape(x))))
        if len(context.shape(x)) <= (1 if options.across_channels else 2):
            mean = x
            centred = context.add("Sub", [x, mean], None if options.normalize_variance else context.tops)
            if options.normalize_variance:
                context.add("Div", [centred, context.number(options.eps)], context.tops)
            return
        mean = context.add("ReduceMean", [x, axes])
        centred = context.add("Sub", [x, mean], None if options.normalize_variance else context.tops)
        if options.normalize_variance:
            variance = context.add("ReduceMean", [context.add("Mul", [centred, centred]), axes])
            deviation = context.add("Add", [context.add("Sqrt", [variance]), context.number(options.eps)])
            context.add("Div", [centred, deviation], context.tops)
