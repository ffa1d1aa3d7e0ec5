"""Pooling and SPP.

ONNX's ``ceil_mode`` is never used: runtimes disagree about the shapes and means it gives. The last, overhanging
window is covered by padding at the end instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from cafx.kernel import Layer
from cafx_lib_onnx import Converter, Exporter, Importer
from cafx_onnx_standard.windows import IMAGE_AXES, NodeWindow, set_pair

MAX, AVE, STOCHASTIC = "MAX", "AVE", "STOCHASTIC"


def pool_nodes(pool: Any, method: str, context: Exporter, bottom: str, tops: list[str] | None) -> str:
    """Append the nodes of one pooling and return its output.

    Args:
        pool: the layer's `Pool`, with window, inputs and outputs.
        method: ``MAX``, ``AVE`` or ``STOCHASTIC``.
        context: the graph.
        bottom: the value to pool.
        tops: names of the outputs; None for a new value.
    """
    if method == STOCHASTIC:
        return _expectation(pool, context, bottom, tops)
    window = pool.window
    if method == MAX and window.pad == (0, 0) and window.kernel == tuple(pool.inputs) and len(tops or "") < 2:
        return context.add("GlobalMaxPool", [bottom], tops)
    if method == AVE and window.pad == (0, 0) and window.kernel == tuple(pool.inputs):
        return context.add("GlobalAveragePool", [bottom], tops)
    if method == MAX:
        return _maximum(pool, context, bottom, tops)
    sizes = np.asarray(pool.sizes, np.float32)
    ratio = np.prod(window.kernel) / sizes
    even = bool((ratio == 1).all())
    mean = context.add("AveragePool", [bottom], tops if even else None, count_include_pad=1, **_window(pool))
    if even:
        return mean
    return context.add("Mul", [mean, context.constant(ratio[None, None], "window")], tops)


def _window(pool: Any) -> dict[str, Any]:
    """Attributes of the window, its padding at the end just wide enough for the last output."""
    window = pool.window
    ends = [
        max((o - 1) * s + e - size - p, 0)
        for o, s, e, size, p in zip(pool.outputs, window.stride, window.extent, pool.inputs, window.pad, strict=True)
    ]
    dilations = None if window.dilation == (1, 1) else list(window.dilation)
    attributes = {"kernel_shape": list(window.kernel), "strides": list(window.stride), "dilations": dilations}
    return {**attributes, "pads": [*window.pad, *ends]}


def _maximum(pool: Any, context: Exporter, bottom: str, tops: list[str] | None) -> str:
    """MaxPool; the indices of a second top count within a plane, not within the whole array."""
    if tops is None or len(tops) < 2:
        return context.add("MaxPool", [bottom], tops, **_window(pool))
    indices = context.graph.fresh(f"{context.layer.name}/Indices")
    context.add("MaxPool", [bottom], [tops[0], indices], **_window(pool))
    within = context.add("Mod", [indices, context.indices(int(np.prod(pool.inputs)))])
    context.add("Cast", [within], [tops[1]], to=onnx.TensorProto.FLOAT)
    return tops[0]


def _expectation(pool: Any, context: Exporter, bottom: str, tops: list[str] | None) -> str:
    """Σ x² / Σ x, and 0 where Σ x is not positive."""
    square = context.add("Mul", [bottom, bottom])
    above = context.add("AveragePool", [square], count_include_pad=1, **_window(pool))
    below = context.add("AveragePool", [bottom], count_include_pad=1, **_window(pool))
    positive = context.add("Greater", [below, context.number(0)])
    divisor = context.add("Where", [positive, below, context.number(1)])
    mean = context.add("Div", [above, divisor])
    return context.add("Where", [positive, mean, context.number(0)], tops)


CEIL, FLOOR = "CEIL", "FLOOR"


def _outputs(window: NodeWindow, sizes: tuple[int, ...], rounding: str) -> tuple[int, ...]:
    """The size of the top by Caffe's rule, with the padding before the image on both sides."""
    counts = []
    for size, k, s, p in zip(sizes, window.kernel, window.stride, window.start, strict=True):
        span = size + 2 * p - k
        count = span // s + 1 if rounding == FLOOR else -(-span // s) + 1
        counts.append(count - 1 if any(window.start) and (count - 1) * s >= size + p else count)
    return tuple(counts)


def _divisors(window: NodeWindow, sizes: tuple[int, ...], outputs: tuple[int, ...], padded: bool) -> Any:
    """The number of values in each window: within the image, or with ``padded`` within its padding before and after."""
    counts = []
    for size, k, s, p, count in zip(sizes, window.kernel, window.stride, window.start, outputs, strict=True):
        starts = np.arange(count) * s - p
        ends = np.minimum(starts + k, size + (p if padded else 0))
        counts.append(ends - (starts if padded else np.maximum(starts, 0)))
    return counts[0][:, None] * counts[1]


def _averages_alike(context: Importer, window: NodeWindow, outputs: tuple[int, ...]) -> Importer | bool | None:
    """Whether Caffe's mean is the node's; or the Mul after it with which it is."""
    sizes = context.shape()[2:]
    ours = _divisors(window, sizes, outputs, padded=True)
    counted = bool(context.attribute("count_include_pad", 0)) and not context.attribute("ceil_mode", 0)
    theirs = np.full(outputs, np.prod(window.kernel)) if counted else _divisors(window, sizes, outputs, padded=False)
    if (ours == theirs).all():
        return True
    reader = context.only_reader(context.outputs[0])
    factor = next(filter(lambda each: each is not None, map(reader.constant, range(2))), None) if reader else None
    if reader is None or reader.op != "Mul" or factor is None or factor.size != ours.size:
        return False
    matches = np.allclose(factor.reshape(outputs), theirs / ours, rtol=1e-6, atol=0)
    return reader if matches else False


def _import_whole(context: Importer, method: str, flat: bool = False) -> None:
    pooled = context.inner("pooled") if flat else context.outputs[0]
    options = context.add("Pooling", outputs=[pooled]).pooling_param
    options.pool = getattr(options, method)
    options.global_pooling = True
    if flat:
        context.add("Flatten", [pooled], name=f"{context.name}/flatten")


def _import_mean(context: Importer) -> None:
    """A ReduceMean over both spatial axes."""
    axes = context.attribute("axes") if not context.has(1) else context.required(1, "axes").reshape(-1).tolist()
    rank = len(context.shape())
    if rank != IMAGE_AXES + 2 or sorted(axis % rank for axis in axes or ()) != [2, 3]:
        raise context.unsupported("a mean over other axes than height and width")
    _import_whole(context, AVE, flat=not context.attribute("keepdims", 1))


class Pooling(Converter):
    """MaxPool, AveragePool (followed by a Mul where windows overhang), or the expectation of STOCHASTIC."""

    operators = ("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "ReduceMean")

    @staticmethod
    def import_(context: Importer) -> None:
        """Pooling with the rounding that gives the node's shape; means must have the node's divisors."""
        if context.op == "ReduceMean":
            _import_mean(context)
            return
        method = AVE if "Average" in context.op else MAX
        if len(context.shape()) != IMAGE_AXES + 2 or len([each for each in context.outputs if each]) > 1:
            raise context.unsupported("pooling of other arrays than N×C×H×W, or indices as output")
        if context.op.startswith("Global"):
            _import_whole(context, method)
            return
        window, outputs = NodeWindow.of(context, context.attribute("kernel_shape")), context.output_shape()[2:]
        fits = [each for each in (CEIL, FLOOR) if _outputs(window, context.shape()[2:], each) == outputs]
        if (
            not fits
            or set(window.dilation) != {1}
            or any(p >= k for p, k in zip(window.start, window.kernel, strict=True))
        ):
            raise context.unsupported("a window whose outputs no rounding gives, or with dilation")
        alike = _averages_alike(context, window, outputs) if method == AVE else True
        if not alike:
            raise context.unsupported("a mean that does not count padding as Caffe does")
        name = alike.name if isinstance(alike, Importer) else context.name
        if isinstance(alike, Importer):
            context.absorb(alike)
        options = context.add("Pooling", name=name).pooling_param
        options.pool = getattr(options, method)
        set_pair(options, "kernel_size", "kernel", window.kernel)
        set_pair(options, "stride", "stride", window.stride, 1)
        set_pair(options, "pad", "pad", window.start, 0)
        if fits[0] == FLOOR:
            options.round_mode = options.FLOOR

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = the pooled values; with a second top, also their indices."""
        context.spatial(context.bottoms[0])
        if len(layer.pool.window.kernel) and layer.options.pool.name == AVE and layer.pool.window.dilation != (1, 1):
            raise context.unsupported("dilated mean pooling in operator set 18")
        pool_nodes(layer.pool, layer.options.pool.name, context, context.bottoms[0], context.tops)


class SPP(Converter):
    """One pooling per level, flattened and concatenated."""

    @staticmethod
    def export(layer: Layer, context: Exporter) -> None:
        """y = the pooled values, level after level."""
        levels: list[Any] = layer.levels  # type: ignore[attr-defined]
        method = layer.options.pool.name
        context.spatial(context.bottoms[0])
        if len(levels) == 1:
            pool_nodes(levels[0], method, context, context.bottoms[0], context.tops)
            return
        pooled = [pool_nodes(level, method, context, context.bottoms[0], None) for level in levels]
        flat = [context.add("Flatten", [each], axis=1) for each in pooled]
        context.add("Concat", flat, context.tops, axis=1)
