"""Losses and scores, of which a deployed model keeps the prediction."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Layer
from cafx_lib_onnx import Converter, Exporter

PROBABILITY = "prob"


def _named(context: Exporter) -> str:
    """``prob``, or with several losses of this type in a net a name of each one's own."""
    alone = [each.type for each in context.net.layers].count(context.layer.type) == 1
    return PROBABILITY if alone else f"{context.layer.name}/{PROBABILITY}"


def _predict(context: Exporter, operator: str, **attributes: Any) -> None:
    """The probabilities that the loss is computed from, as an output of the model, and as the loss's second top."""
    own_top = context.tops[1:2]
    value = context.add(operator, context.bottoms[:1], own_top or None, **attributes)
    context.result(value, None if own_top else _named(context), context.shape(context.bottoms[0]))


class SoftmaxWithLoss(Converter):
    """Softmax: the probabilities that the loss is computed from."""

    partial = "the Softmax of the scores takes the place of the loss"

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """p = exp(x) / Σ exp(x)."""
        _predict(context, "Softmax", axis=context.axis(context.bottoms[0], layer.options.axis))


class InfogainLoss(Converter):
    """Softmax: the probabilities that the loss is computed from."""

    partial = "the Softmax of the scores takes the place of the loss"

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """p = exp(x) / Σ exp(x)."""
        axis = layer.options.axis if hasattr(layer.options, "axis") else 1
        _predict(context, "Softmax", axis=context.axis(context.bottoms[0], axis))


class SigmoidCrossEntropyLoss(Converter):
    """Sigmoid: the probabilities that the loss is computed from."""

    partial = "the Sigmoid of the scores takes the place of the loss"

    @staticmethod
    def export(layer: Layer, context: Exporter) -> None:
        """p = σ(x)."""
        _predict(context, "Sigmoid")


class Loss(Converter):
    """Nothing: the first bottom becomes an output."""

    partial = "the loss is left out, its first bottom is an output"

    @staticmethod
    def export(layer: Layer, context: Exporter) -> None:
        """x itself."""
        context.result(context.bottoms[0])


class Accuracy(Converter):
    """Nothing: a deployed model has no labels."""

    partial = "the score is left out, with its labels"

    @staticmethod
    def export(layer: Layer, context: Exporter) -> None:
        """The scores are an output if the model has no other."""
        context.if_nothing_else(context.bottoms[0])


class HDF5Output(Converter):
    """Nothing: the bottoms become outputs."""

    partial = "the file is left out, its bottoms are outputs"

    @staticmethod
    def export(layer: Layer, context: Exporter) -> None:
        """The bottoms themselves."""
        for value in context.bottoms:
            context.if_nothing_else(value)


class Source(Converter):
    """An input of the model per top."""

    partial = "its tops are inputs of the model"

    @staticmethod
    def export(layer: Layer, context: Exporter) -> None:
        """Each top is fed by whoever runs the model; those that no output needs, such as labels, are left out."""
        for index in range(len(context.tops)):
            context.input(index)
