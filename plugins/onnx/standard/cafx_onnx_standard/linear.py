"""Layers that multiply by learned weights: convolutions, fully connected layers, embeddings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx

from cafx.kernel import Layer
from cafx_lib_onnx import Converter, Exporter, Importer, Shape
from cafx_onnx_standard.windows import NodeWindow, shortened


def _images(context: Exporter, value: str, axis: int, axes: int) -> tuple[str, Shape]:
    """A bottom as N×C×spatial…: leading axes merged, and one spatial axis added if there is none; and its shape."""
    shape = context.shape(value)
    if axis == 1 and axes:
        return value, shape
    merged: Shape = ("batch", *shape[axis:], *([1] * (not axes)))
    return context.reshape(value, merged), merged


def _convolve(layer: Any, context: Exporter, op: str) -> None:
    window, axis, axes = layer.window, layer.channel_axis, len(layer.window.kernel)
    if 0 in window.dilation:
        raise context.unsupported("dilation 0")
    weights = [context.parameter(0, None if axes else (*layer.blobs[0].shape, 1))]
    weights += [context.parameter(1)] if layer.options.bias_term else []
    for bottom, top in zip(context.bottoms, context.tops, strict=True):
        plain = axis == 1 and bool(axes)
        x, _ = _images(context, bottom, axis, axes)
        attributes = {
            "kernel_shape": list(window.kernel) or [1],
            "strides": list(window.stride) or [1],
            "pads": [*window.pad, *window.pad] or [0, 0],
            "dilations": list(window.dilation) or [1],
        }
        y = context.add(op, [x, *weights], [top] if plain else None, group=layer.options.group, **attributes)
        if not plain:
            context.reshape(y, context.shape(top), [top])


def _import_window(context: Importer, type_name: str, outputs: int) -> None:
    weights = context.required(1, "weights")
    if weights.ndim < 2 or len(context.shape()) != weights.ndim:
        raise context.unsupported(f"weights with {weights.ndim} axes")
    window = NodeWindow.of(context, weights.shape[2:])
    if window.start != window.end:
        raise context.unsupported(f"other padding at the end, {list(window.end)}, than before, {list(window.start)}")
    biased = context.has(2)
    blobs = [weights, context.required(2, "a bias")] if biased else [weights]
    options = context.add(type_name, weights=blobs).convolution_param
    options.num_output = outputs
    options.bias_term = biased
    options.kernel_size.extend(shortened(window.kernel))
    for name, values, default in (
        ("pad", window.start, 0),
        ("stride", window.stride, 1),
        ("dilation", window.dilation, 1),
    ):
        if set(values) - {default}:
            getattr(options, name).extend(shortened(values))
    if context.attribute("group", 1) != 1:
        options.group = context.attribute("group")
    options.weight_filler.type = "msra"


class Convolution(Converter):
    """Conv; a convolution without spatial axes, or with several batch axes, between two Reshapes."""

    operators = ("Conv",)

    @staticmethod
    def import_(context: Importer) -> None:
        """A convolution with the node's window."""
        _import_window(context, "Convolution", len(context.required(1, "weights")))

    @staticmethod
    def export(layer: Layer, context: Exporter) -> None:
        """y = Conv(x, W, b)."""
        _convolve(layer, context, "Conv")


class Deconvolution(Converter):
    """ConvTranspose."""

    operators = ("ConvTranspose",)

    @staticmethod
    def import_(context: Importer) -> None:
        """A deconvolution with the node's window."""
        if any(context.attribute("output_padding", ())) or context.attribute("output_shape"):
            raise context.unsupported("output_padding or output_shape")
        weights = context.required(1, "weights")
        _import_window(context, "Deconvolution", weights.shape[1] * context.attribute("group", 1))

    @staticmethod
    def export(layer: Layer, context: Exporter) -> None:
        """y = ConvTranspose(x, W, b)."""
        _convolve(layer, context, "ConvTranspose")


class Im2col(Converter):
    """A depthwise Conv with one filter per tap of the window, each of which picks its value."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """Columns by a convolution with one-hot filters."""
        window, axis = layer.window, layer.first - 1
        if 0 in window.dilation:
            raise context.unsupported("dilation 0")
        channels, taps = context.length(context.bottoms[0], axis), math.prod(window.kernel)
        filters = np.tile(np.eye(taps, dtype=np.float32), (channels, 1)).reshape(channels * taps, 1, *window.kernel)
        x, _ = _images(context, context.bottoms[0], axis, len(window.kernel))
        y = context.add(
            "Conv",
            [x, context.constant(filters, "taps")],
            context.tops if axis == 1 else None,
            group=channels,
            kernel_shape=list(window.kernel),
            strides=list(window.stride),
            pads=[*window.pad, *window.pad],
            dilations=list(window.dilation),
        )
        if axis != 1:
            context.reshape(y, context.shape(context.tops[0]), context.tops)


class InnerProduct(Converter):
    """Gemm, after a Flatten where the bottom is no matrix."""

    operators = ("Gemm", "MatMul")

    @staticmethod
    def import_(context: Importer) -> None:
        """Weights of the shape outputs×inputs; a bias that is added to a MatMul belongs to it."""
        weights, gemm = context.required(1, "weights"), context.op == "Gemm"
        if weights.ndim != 2 or context.attribute("transA", 0):
            raise context.unsupported("weights that are no matrix, or a transposed bottom")
        rows = weights if gemm and context.attribute("transB", 0) else weights.T
        rows = rows * np.float32(context.attribute("alpha", 1.0))
        axis = 1 if gemm else len(context.shape()) - 1
        name = context.name
        bias = _bias(context, len(rows)) if gemm else _added(context, len(rows))
        layer = context.add("InnerProduct", weights=[rows] if bias is None else [rows, bias], name=name)
        options = layer.inner_product_param
        options.num_output, options.bias_term = len(rows), bias is not None
        options.weight_filler.type = "msra"
        if axis != 1:
            options.axis = axis

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = Gemm(x, W, b), the weights transposed unless they are stored so."""
        bottom, top = context.bottoms[0], context.tops[0]
        axis = context.axis(bottom, layer.options.axis)
        weights = [context.parameter(index) for index in range(len(layer.blobs))]
        matrix = axis == 1 and len(context.shape(bottom)) == 2
        x = bottom if matrix else context.add("Flatten", [bottom], axis=axis)
        y = context.add("Gemm", [x, *weights], [top] if axis == 1 else None, transB=0 if layer.options.transpose else 1)
        if axis != 1:
            context.reshape(y, context.shape(top), [top])


def _bias(context: Importer, outputs: int) -> Any:
    """The bias of a Gemm, one value per output; None if it has none."""
    if not context.has(2):
        return None
    bias = context.required(2, "a bias") * np.float32(context.attribute("beta", 1.0))
    if bias.shape not in ((), (1,), (outputs,), (1, outputs), (1, 1)):
        raise context.unsupported("a bias that is not one value per output")
    return np.broadcast_to(bias.reshape(-1), (outputs,))


def _added(context: Importer, outputs: int) -> Any:
    """The bias that an Add after a MatMul is, taken over from it; None if there is none."""
    reader = context.only_reader(context.outputs[0])
    if reader is None or reader.op != "Add":
        return None
    values = [value for value in map(reader.constant, range(2)) if value is not None]
    if len(values) != 1 or values[0].size != outputs or values[0].shape[-1:] != (outputs,):
        return None
    context.absorb(reader)
    return values[0].reshape(-1)


class Embed(Converter):
    """Gather of the weights' rows, then Add."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = W[x] + b."""
        indices = context.add("Cast", [context.bottoms[0]], to=onnx.TensorProto.INT64)
        biased = layer.options.bias_term
        rows = context.add("Gather", [context.parameter(0), indices], None if biased else context.tops, axis=0)
        if biased:
            context.add("Add", [rows, context.parameter(1)], context.tops)
