"""Layers that work value by value."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from cafx.kernel import Layer
from cafx_lib_onnx import Converter, Exporter, Importer


def linear(context: Exporter, value: str, factor: float, offset: float, tops: list[str] | None = None) -> str:
    """Append factor · x + offset, without what is 1 or 0; returns the output, which is ``value`` if all is."""
    steps = [("Mul", factor)] * (factor != 1) + [("Add", offset)] * (offset != 0)
    for index, (op, number) in enumerate(steps):
        last = index == len(steps) - 1
        value = context.add(op, [value, context.number(number)], tops if last else None)
    if not steps and tops:
        context.alias(value)
    return value


LARGEST = float(np.finfo(np.float32).max)
SINCE_AXIS_ALONE = 13
"""Version from which on Softmax works along one axis, not over all from that on."""


def simple(type_name: str, operator: str) -> type[Converter]:
    """The converter of a layer that is one operator without attributes."""

    class Simple(Converter):
        operators = (operator,)

        @staticmethod
        def export(layer: Layer, context: Exporter) -> None:
            context.add(operator, context.bottoms, context.tops)

        @staticmethod
        def import_(context: Importer) -> None:
            context.add(type_name)

    Simple.__doc__ = f"{operator}."
    Simple.__qualname__ = Simple.__name__ = operator
    return Simple


AbsVal, BNLL = simple("AbsVal", "Abs"), simple("BNLL", "Softplus")
Sigmoid, TanH = simple("Sigmoid", "Sigmoid"), simple("TanH", "Tanh")


class ReLU(Converter):
    """Relu, or LeakyRelu with a slope."""

    operators = ("Relu", "LeakyRelu")

    @staticmethod
    def import_(context: Importer) -> None:
        """A ReLU, with the slope of a LeakyRelu."""
        layer = context.add("ReLU")
        if context.op == "LeakyRelu":
            layer.relu_param.negative_slope = context.attribute("alpha", 0.01)

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = max(x, 0) + slope · min(x, 0)."""
        slope = layer.options.negative_slope
        context.add("LeakyRelu" if slope else "Relu", context.bottoms, context.tops, alpha=slope or None)


class PReLU(Converter):
    """PRelu, its slopes shaped to the channel axis."""

    operators = ("PRelu",)

    @staticmethod
    def import_(context: Importer) -> None:
        """Slopes of one value, or of one per channel."""
        slopes, shape = context.required(1, "slopes"), context.shape()
        channels = (1,) * (len(shape) - slopes.ndim) + slopes.shape
        if slopes.size != 1 and (len(shape) < 2 or channels != (1, shape[1], *[1] * (len(shape) - 2))):
            raise context.unsupported("slopes that are not one per channel")
        layer = context.add("PReLU", weights=[slopes.reshape(-1)])
        layer.prelu_param.channel_shared = slopes.size == 1

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = max(x, 0) + a · min(x, 0)."""
        axes = len(context.shape(context.bottoms[0]))
        shape = () if layer.options.channel_shared else (-1, *[1] * (axes - 2))
        slopes = context.constant(layer.blobs[0].host().reshape(shape), "0")
        context.add("PRelu", [*context.bottoms, slopes], context.tops)


class ELU(Converter):
    """Elu."""

    operators = ("Elu",)

    @staticmethod
    def import_(context: Importer) -> None:
        """An ELU."""
        context.add("ELU").elu_param.alpha = context.attribute("alpha", 1.0)

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = x where x > 0, else alpha · (eˣ − 1)."""
        context.add("Elu", context.bottoms, context.tops, alpha=layer.options.alpha)


class Swish(Converter):
    """Sigmoid and Mul."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = x · σ(beta · x)."""
        gate = context.add("Sigmoid", [linear(context, context.bottoms[0], layer.options.beta, 0)])
        context.add("Mul", [context.bottoms[0], gate], context.tops)


class Power(Converter):
    """Mul, Add and Pow, as far as they are needed."""

    operators = ("Pow", "Sqrt", "Reciprocal", "Neg")
    POWERS = {"Sqrt": 0.5, "Reciprocal": -1.0}

    @staticmethod
    def import_(context: Importer) -> None:
        """A power with a constant exponent."""
        if context.op == "Neg":
            context.add("Power").power_param.scale = -1
            return
        exponent = np.asarray(Power.POWERS.get(context.op) or context.required(1, "an exponent"))
        if exponent.size != 1:
            raise context.unsupported("several exponents")
        context.add("Power").power_param.power = float(exponent.reshape(-1)[0])

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = (shift + scale · x)^power."""
        options = layer.options
        if options.power == 1:
            linear(context, context.bottoms[0], options.scale, options.shift, context.tops)
            return
        base = linear(context, context.bottoms[0], options.scale, options.shift)
        context.add("Pow", [base, context.number(options.power)], context.tops)


class Exp(Converter):
    """Exp of a linear function."""

    operators = ("Exp",)

    @staticmethod
    def import_(context: Importer) -> None:
        """Base e."""
        context.add("Exp")

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = e^(slope · x + offset)."""
        context.add("Exp", [linear(context, context.bottoms[0], layer.slope, layer.offset)], context.tops)


class Log(Converter):
    """Log of a linear function."""

    operators = ("Log",)

    @staticmethod
    def import_(context: Importer) -> None:
        """Base e."""
        context.add("Log")

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = ln(shift + scale · x) / ln base."""
        inner = linear(context, context.bottoms[0], layer.options.scale, layer.options.shift)
        natural = layer.log_base == 1
        logarithm = context.add("Log", [inner], context.tops if natural else None)
        if not natural:
            context.add("Div", [logarithm, context.number(layer.log_base)], context.tops)


class Clip(Converter):
    """Clip."""

    operators = ("Clip", "HardSigmoid", "HardSwish")

    @staticmethod
    def import_(context: Importer) -> None:
        """A Clip; ReLU where there is no upper bound; the hard functions by Power, Clip and Eltwise."""
        if context.op == "Clip":
            low, high = (_bound(context, index, sign * LARGEST) for index, sign in ((1, -1), (2, 1)))
            if low == 0 and high == LARGEST:
                context.add("ReLU")
                return
            options = context.add("Clip").clip_param
            options.min, options.max = low, high
            return
        swish = context.op == "HardSwish"
        alpha, beta = (1 / 6, 0.5) if swish else (context.attribute("alpha", 0.2), context.attribute("beta", 0.5))
        line, gate = context.inner("line"), context.inner("gate") if swish else context.outputs[0]
        options = context.add("Power", outputs=[line], name=f"{context.name}/line").power_param
        options.scale, options.shift = alpha, beta
        options = context.add("Clip", [line], [gate], name=f"{context.name}/gate" if swish else None).clip_param
        options.min, options.max = 0, 1
        if swish:
            product = context.add("Eltwise", [context.inputs[0], gate]).eltwise_param
            product.operation = product.PROD

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = max(min, min(x, max))."""
        bounds = [context.number(layer.options.min), context.number(layer.options.max)]
        context.add("Clip", [*context.bottoms, *bounds], context.tops)


class Threshold(Converter):
    """Greater and Cast."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = 1 where x > threshold, else 0."""
        above = context.add("Greater", [*context.bottoms, context.number(layer.options.threshold)])
        context.add("Cast", [above], context.tops, to=onnx.TensorProto.FLOAT)


class Dropout(Converter):
    """Nothing: values pass unchanged in TEST phase."""

    operators = ("Dropout",)

    @staticmethod
    def import_(context: Importer) -> None:
        """A Dropout, for training."""
        if len([value for value in context.outputs if value and context.view.readers(value)]) > 1:
            raise context.unsupported("its mask as output")
        ratio = context.required(1, "a ratio") if context.has(1) else context.attribute("ratio", 0.5)
        context.add("Dropout").dropout_param.dropout_ratio = float(np.asarray(ratio).reshape(-1)[0])

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = x; a dialect's ``scale_train: false`` leaves a factor."""
        if layer.drops:
            raise context.unsupported("values dropped at random in TEST phase")
        linear(context, context.bottoms[0], layer.scale if layer.as_written else 1, 0, context.tops)


class Softmax(Converter):
    """Softmax."""

    operators = ("Softmax", "LogSoftmax")

    @staticmethod
    def import_(context: Importer) -> None:
        """A Softmax along the node's axis."""
        old, shape = context.view.version < SINCE_AXIS_ALONE, context.shape()
        axis = context.attribute("axis", 1 if old else -1) % len(shape)
        if old and any(length != 1 for length in shape[axis + 1 :]):
            raise context.unsupported("a Softmax over several axes")
        logarithm = context.op == "LogSoftmax"
        scores = context.inner("probabilities") if logarithm else context.outputs[0]
        layer = context.add("Softmax", outputs=[scores])
        if axis != 1:
            layer.softmax_param.axis = axis
        if logarithm:
            context.add("Log", [scores], name=f"{context.name}/log")

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = exp(x) / Σ exp(x)."""
        context.add("Softmax", context.bottoms, context.tops, axis=layer.softmax_axis)


def _bound(context: Importer, index: int, default: float) -> float:
    """A bound of a Clip: an input, or in old models an attribute."""
    if context.has(index):
        return float(context.required(index, "a bound").reshape(-1)[0])
    return float(context.attribute(("min", "max")[index - 1], default))
