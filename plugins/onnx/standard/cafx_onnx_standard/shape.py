"""Layers that move values: slices, concatenations, reshapes, reductions."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from cafx.kernel import Layer
from cafx_lib_onnx import Converter, Exporter, Importer

TO_THE_END = np.iinfo(np.int64).max


class Split(Converter):
    """Nothing: any number of nodes may read a value."""

    operators = ("Identity", "Cast")

    @staticmethod
    def import_(context: Importer) -> None:
        """Nothing, for nodes that change nothing."""
        if context.op == "Cast" and context.attribute("to") not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
            raise context.unsupported("a cast to another type than float")
        context.alias()

    @staticmethod
    def export(layer: Layer, context: Exporter) -> None:
        """Each top is the bottom."""
        for index in range(len(context.tops)):
            context.alias(context.bottoms[0], index)


class Silence(Converter):
    """Nothing: it has no tops."""

    partial = "it has no tops"

    @staticmethod
    def export(layer: Layer, context: Exporter) -> None:
        """There are no tops."""


class Concat(Converter):
    """Concat."""

    operators = ("Concat",)

    @staticmethod
    def import_(context: Importer) -> None:
        """A Concat along the node's axis."""
        layer = context.add("Concat", context.inputs)
        axis = context.attribute("axis", 1) % len(context.shape())
        if axis != 1:
            layer.concat_param.axis = axis

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = (x₁ | x₂ | …)."""
        axis = layer.options.concat_dim if layer.options.has("concat_dim") else layer.options.axis
        context.add("Concat", context.bottoms, context.tops, axis=context.axis(context.bottoms[0], axis))


class Slice(Converter):
    """Split."""

    operators = ("Split", "Slice")

    @staticmethod
    def import_(context: Importer) -> None:
        """A Slice at the ends of the node's parts; what a Slice node cuts off goes to a Silence."""
        if context.op == "Split":
            axis = context.attribute("axis", 0) % len(context.shape())
            ends = np.cumsum([context.output_shape(index)[axis] for index in range(len(context.outputs))])
            _add_slice(context, context.inputs[0], context.outputs, axis, [int(end) for end in ends[:-1]])
        else:
            _import_slice(context)

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """Each top is a part of the bottom."""
        if len(context.tops) == 1:
            context.alias(context.bottoms[0])
            return
        axis = layer.options.slice_dim if layer.options.has("slice_dim") else layer.options.axis
        axis = context.axis(context.bottoms[0], axis)
        context.length(context.bottoms[0], axis)
        sizes = [context.length(top, axis) for top in context.tops]
        context.add("Split", [*context.bottoms, context.indices(*sizes)], context.tops, axis=axis)


def _add_slice(context: Importer, value: str, tops: list[str], axis: int, points: list[int], name: str = "") -> None:
    options = context.add("Slice", [value], tops, name=name or None).slice_param
    options.axis = axis
    options.slice_point.extend(points)


def _import_slice(context: Importer) -> None:
    """A Slice node: one Slice layer per axis that is cut."""
    shape = context.shape()
    starts, ends = (_given(context, index, name) for index, name in ((1, "starts"), (2, "ends")))
    axes = _given(context, 3, "axes") or list(range(len(starts)))
    if any(step != 1 for step in _given(context, 4, "steps") or ()):
        raise context.unsupported("steps other than 1")
    cuts = []
    for axis, start, end in zip(axes, starts, ends, strict=True):
        low, high, _ = slice(start, end).indices(shape[axis])
        if (low, high) != (0, shape[axis]):
            cuts.append((axis % len(shape), low, high))
    if any(low >= high for _, low, high in cuts):
        raise context.unsupported("a slice without values")
    value = context.inputs[0]
    for number, (axis, low, high) in enumerate(cuts):
        kept = context.outputs[0] if number == len(cuts) - 1 else context.inner(f"cut{number}")
        before, after = (
            [context.inner(f"{side}{number}")] if cut else []
            for side, cut in (("before", low), ("after", high < shape[axis]))
        )
        points = [point for point in (low, high) if 0 < point < shape[axis]]
        _add_slice(
            context, value, [*before, kept, *after], axis, points, f"{context.name}/cut{number}" if number else ""
        )
        context.add("Silence", [*before, *after], [], name=f"{context.name}/silence{number}")
        value = kept
    if not cuts:
        context.alias()


def _given(context: Importer, index: int, name: str) -> list[int]:
    """Whole numbers from an input, or in old models from an attribute."""
    values = context.required(index, name).reshape(-1) if context.has(index) else context.attribute(name, ())
    return [int(each) for each in values]


class Crop(Converter):
    """Slice."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = x[crop]."""
        axes = [i for i, part in enumerate(layer.crop) if part != slice(None)]
        cut = [i for i in axes if not isinstance(context.shape(context.tops[0])[i], str) or layer.crop[i].start]
        for axis in cut:
            context.length(context.bottoms[0], axis)
        starts, ends = (context.indices(*[getattr(layer.crop[i], end) for i in cut]) for end in ("start", "stop"))
        context.add("Slice", [context.bottoms[0], starts, ends, context.indices(*cut)], context.tops)


class Reshape(Converter):
    """Reshape."""

    operators = ("Reshape", "Squeeze", "Unsqueeze")

    @staticmethod
    def import_(context: Importer) -> None:
        """A Flatten where the first axis stays alone, else a Reshape; lengths that stay are copied."""
        old, new = context.shape(), context.output_shape()
        if _is_flat(old, new):
            _import_flat(context)
            return
        dims = [
            0 if i < len(old) and old[i] == length and old[:i] == new[:i] else length for i, length in enumerate(new)
        ]
        context.add("Reshape").reshape_param.shape.dim.extend(dims)

    @staticmethod
    def export(layer: Layer, context: Exporter) -> None:
        """y = x in another shape."""
        context.reshape(context.bottoms[0], context.shape(context.tops[0]), context.tops)


class Flatten(Converter):
    """Flatten to a matrix, or Reshape."""

    operators = ("Flatten",)

    @staticmethod
    def import_(context: Importer) -> None:
        """A Flatten from the first axis on; nothing before a fully connected layer, which flattens by itself."""
        old, new = context.shape(), context.output_shape()
        if _is_flat(old, new):
            _import_flat(context)
        else:
            context.add("Reshape").reshape_param.shape.dim.extend(new)

    @staticmethod
    def export(layer: Layer, context: Exporter) -> None:
        """y = x in another shape."""
        bottom, top = context.bottoms[0], context.tops[0]
        matrix = len(context.shape(top)) == 2 and context.shape(top)[:1] == context.shape(bottom)[:1]
        if matrix and len(context.shape(bottom)) > 1:
            context.add("Flatten", [bottom], [top], axis=1)
        else:
            context.reshape(bottom, context.shape(top), [top])


def _is_flat(old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    return len(old) > 1 and len(new) == 2 and old[0] == new[0]


def _import_flat(context: Importer) -> None:
    reader = context.only_reader(context.outputs[0])
    if (
        reader is not None
        and reader.op == "Gemm"
        and not reader.attribute("transA", 0)
        and reader.inputs[0] == context.outputs[0]
    ):
        context.alias()
    else:
        context.add("Flatten")


class Tile(Converter):
    """Tile."""

    operators = ("Tile",)

    @staticmethod
    def import_(context: Importer) -> None:
        """A Tile along the one axis that is repeated."""
        repeats = _given(context, 1, "repeats")
        axes = [axis for axis, count in enumerate(repeats) if count != 1]
        if len(axes) > 1:
            raise context.unsupported("repeats along several axes")
        options = context.add("Tile").tile_param
        options.axis = axes[0] if axes else 0
        options.tiles = repeats[options.axis]

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = (x | x | … | x)."""
        repeats = [1] * len(context.shape(context.bottoms[0]))
        repeats[context.axis(context.bottoms[0], layer.options.axis)] = layer.options.tiles
        context.add("Tile", [*context.bottoms, context.indices(*repeats)], context.tops)


class Reduction(Converter):
    """ReduceSum, ReduceL1, ReduceSumSquare or ReduceMean, then Mul."""

    OPERATORS = {"SUM": "ReduceSum", "ASUM": "ReduceL1", "SUMSQ": "ReduceSumSquare", "MEAN": "ReduceMean"}
    operators = tuple(OPERATORS.values())

    @staticmethod
    def import_(context: Importer) -> None:
        """A Reduction of the last axes."""
        rank = len(context.shape())
        axes = sorted(axis % rank for axis in _given(context, 1, "axes")) or list(range(rank))
        if axes != list(range(axes[0], rank)):
            raise context.unsupported("a reduction of other axes than the last ones")
        keeps = bool(context.attribute("keepdims", 1))
        reduced = context.inner("reduced") if keeps else context.outputs[0]
        options = context.add("Reduction", outputs=[reduced]).reduction_param
        operation = next(name for name, operator in Reduction.OPERATORS.items() if operator == context.op)
        options.operation, options.axis = getattr(options, operation), axes[0]
        if keeps:
            shape = context.add("Reshape", [reduced], name=f"{context.name}/axes").reshape_param.shape
            shape.dim.extend(0 if axis < axes[0] else 1 for axis in range(rank))

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = c Σ f(x)."""
        options, axes = layer.options, len(context.shape(context.bottoms[0]))
        reduced = context.indices(*range(context.axis(context.bottoms[0], options.axis), axes))
        plain = options.coeff == 1
        operator = Reduction.OPERATORS[options.operation.name]
        total = context.add(operator, [*context.bottoms, reduced], context.tops if plain else None, keepdims=0)
        if not plain:
            context.add("Mul", [total, context.number(options.coeff)], context.tops)


class ArgMax(Converter):
    """TopK on the reversed axis, since Caffe puts the larger of equal values' indices first."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = indices, values or both."""
        x, options = context.bottoms[0], layer.options
        axis = layer.search_axis
        if axis is None:
            x, axis = context.add("Flatten", [x], axis=1), 1
            length = int(np.prod(context.spatial(context.bottoms[0], 1)))
        else:
            length = context.length(x, axis)
        index, value = _largest(context, x, axis, length, options.top_k)
        if layer.search_axis is not None:
            context.add("Identity", [value if options.out_max_val else index], context.tops)
            return
        parts = [index, value] if options.out_max_val else [index]
        joined = context.add("Concat", parts, axis=1) if len(parts) > 1 else index
        context.reshape(joined, context.shape(context.tops[0]), context.tops)


def _largest(context: Exporter, x: str, axis: int, length: int, count: int) -> tuple[str, str]:
    """Indices, as floats, and values of the largest along an axis."""
    backwards = [context.indices(-1), context.indices(-TO_THE_END), context.indices(axis), context.indices(-1)]
    reverse = context.add("Slice", [x, *backwards])
    value, order = (
        context.graph.fresh(f"{context.layer.name}/Values"),
        context.graph.fresh(f"{context.layer.name}/Order"),
    )
    context.add("TopK", [reverse, context.indices(count)], [value, order], axis=axis, largest=1, sorted=1)
    index = context.add("Sub", [context.indices(length - 1), order])
    return context.add("Cast", [index], to=onnx.TensorProto.FLOAT), value


class Parameter(Converter):
    """An initializer."""

    @staticmethod
    def export(layer: Layer, context: Exporter) -> None:
        """y = w."""
        context.alias(context.parameter(0))
