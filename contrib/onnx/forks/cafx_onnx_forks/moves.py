"""Layers of forks that move values: permutations, crops, resampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from cafx.kernel import Layer
from cafx_lib_onnx import Converter, Exporter, Importer

BACKWARDS_END = -np.iinfo(np.int64).max


class Permute(Converter):
    """Transpose."""

    operators = ("Transpose",)

    @staticmethod
    def import_(context: Importer) -> None:
        """A Permute in the node's order."""
        order = context.attribute("perm", list(range(len(context.shape())))[::-1])
        context.add("Permute").permute_param.order.extend(order)

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = x with its axes in another order."""
        if layer.shares:
            context.alias(context.bottoms[0])
        else:
            context.add("Transpose", context.bottoms, context.tops, perm=list(layer.order))


class ShuffleChannel(Converter):
    """Reshape, Transpose, Reshape."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """Group and position within it change places."""
        x, group = context.bottoms[0], layer.options.group
        batch, channels, *rest = context.shape(x)
        if not isinstance(channels, int):
            raise context.unsupported("an open number of channels")
        grouped = context.reshape(x, (batch, group, channels // group, *rest))
        order = [0, 2, 1, *range(3, 3 + len(rest))]
        shuffled = context.add("Transpose", [grouped], perm=order)
        inner = (batch, channels // group, group, *rest)
        context.reshape(shuffled, context.shape(context.tops[0]), context.tops, source=inner)


class Reorg(Converter):
    """Reshape, Transpose, Reshape."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """Blocks of pixels to channels, or back."""
        x = context.bottoms[0]
        batch = context.shape(x)[0]
        (_, *pixels), (_, *blocks) = layer.pixels, layer.blocks
        first, order = (blocks, [0, 3, 4, 1, 5, 2]) if layer.options.reverse else (pixels, [0, 3, 5, 1, 2, 4])
        context.spatial(x, 1)
        moved = context.add("Transpose", [context.reshape(x, (batch, *first))], perm=order)
        second = (batch, *(pixels if layer.options.reverse else blocks))
        context.reshape(moved, context.shape(context.tops[0]), context.tops, source=second)


class Reverse(Converter):
    """Slice with step −1."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = x in reverse order."""
        axis = context.axis(context.bottoms[0], layer.options.axis)
        ends = [context.indices(each) for each in (-1, BACKWARDS_END, axis, -1)]
        context.add("Slice", [*context.bottoms, *ends], context.tops)


def crop(context: Exporter, value: str, slices: Any, tops: list[str] | None = None) -> str:
    """Append a Slice by Python slices; returns its output."""
    cut = [(axis, part) for axis, part in enumerate(slices) if isinstance(part, slice) and part != slice(None)]
    starts, ends = (context.indices(*[getattr(part, end) for _, part in cut]) for end in ("start", "stop"))
    return context.add("Slice", [value, starts, ends, context.indices(*[axis for axis, _ in cut])], tops)


class CropCenter(Converter):
    """Slice."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = the middle of x."""
        middle = [part if part.start else slice(None) for part in layer.middle]
        for axis, part in enumerate(middle):
            if part != slice(None):
                context.length(context.bottoms[0], axis)
        if all(part == slice(None) for part in middle):
            context.alias(context.bottoms[0])
        else:
            crop(context, context.bottoms[0], middle, context.tops)


class MergeCrop(Converter):
    """Slice, then Concat or Add."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y = (a, b′) or a + b′."""
        for value in context.bottoms:
            context.spatial(value)
        spatial = layer.crops[1]
        second = crop(context, context.bottoms[1], spatial) if len(spatial) > 2 else context.bottoms[1]
        parts = [
            value if read else context.add("Mul", [value, context.number(0)])
            for value, read in zip((context.bottoms[0], second), layer.reads, strict=True)
        ]
        if layer.options.operation.name == "ADD":
            context.add("Add", parts, context.tops)
        else:
            context.add("Concat", parts, context.tops, axis=1)


class Upsample(Converter):
    """ScatterElements by the mask, or Resize to the nearest pixel."""

    operators = ("Resize", "Upsample")

    @staticmethod
    def import_(context: Importer) -> None:
        """An Upsample where every pixel is repeated the same number of times along both axes."""
        old, new = context.shape(), context.output_shape()
        factors = {large // small for large, small in zip(new[2:], old[2:], strict=True)}
        exact = all(large % small == 0 for large, small in zip(new, old, strict=True)) and old[:2] == new[:2]
        nearest = context.attribute("mode", "nearest") == "nearest" and context.attribute("nearest_mode") in (
            None,
            "floor",
        )
        asymmetric = context.attribute("coordinate_transformation_mode", "asymmetric") == "asymmetric"
        if len(old) != 4 or len(factors) != 1 or not (exact and nearest and asymmetric):
            raise context.unsupported("another interpolation than whole pixels repeated alike along both axes")
        context.add("Upsample").upsample_param.scale = factors.pop()

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """y[m[i]] = x[i], or y[h, w] = x[⌊h / s⌋, ⌊w / s⌋]."""
        x, top = context.bottoms[0], context.tops[0]
        if len(context.bottoms) == 1:
            scales = context.constant(np.array([1, 1, *layer.scales], np.float32), "scales")
            nearest = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            context.add("Resize", [x, "", scales], [top], mode="nearest", **nearest)
            return
        batch, channels = context.shape(x)[:2]
        sizes, area = (int(np.prod(context.spatial(value))) for value in (x, top))
        flat = context.reshape(x, (batch, channels, sizes))
        mask = context.add(
            "Cast", [context.reshape(context.bottoms[1], (batch, channels, sizes))], to=onnx.TensorProto.INT64
        )
        first = context.add("Slice", [flat, context.indices(0), context.indices(1), context.indices(2)])
        zeros = context.add("Mul", [first, context.number(0)])
        empty = context.add("Tile", [zeros, context.indices(1, 1, area)])
        scattered = context.add("ScatterElements", [empty, mask, flat], axis=2)
        context.reshape(scattered, context.shape(top), [top], source=(batch, channels, area))


class Resampling(Converter):
    """Two MatMul with the weights of rows and columns."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """Y = R X Cᵀ."""
        x = context.bottoms[0]
        context.spatial(x)
        before, after = layer.crop
        if before or after:
            cut = [slice(None), slice(None), *layer.window]
            x = crop(context, x, cut)
        columns = context.constant(np.asarray(layer.columns).T, "columns")
        rows = context.constant(np.asarray(layer.rows), "rows")
        context.add("MatMul", [rows, context.add("MatMul", [x, columns])], context.tops)


class Interp(Converter):
    """Two MatMul with the weights of rows and columns."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """Y = R X Cᵀ."""
        resizes = any(each.shape[0] != each.shape[1] for each in (layer.rows, layer.columns))
        if layer.first_only and resizes and context.spatial(context.bottoms[0], 0)[:2] != (1, 1):
            raise context.unsupported("mode: NEAREST, which computes the first plane only")
        Resampling.export(layer, context)


class ContinuationIndicator(Converter):
    """A constant, expanded to the number of sequences."""

    @staticmethod
    def export(layer: Layer, context: Exporter) -> None:
        """0 in the first step, 1 in the others."""
        steps = context.length(context.tops[0], 0)
        sequences = context.length(context.tops[0], 1)
        markers = np.ones((steps, sequences), np.float32)
        markers[0] = 0
        context.add("Identity", [context.constant(markers, "markers")], context.tops)
