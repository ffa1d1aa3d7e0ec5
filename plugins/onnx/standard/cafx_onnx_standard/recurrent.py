"""Recurrent layers, unrolled over their time steps: ONNX's own LSTM and RNN do not know ``cont``."""

from __future__ import annotations

from typing import Any

from cafx_lib_onnx import Converter, Exporter

GATES = 4


def _steps(context: Exporter, value: str, count: int) -> list[str]:
    """The values of each time step of a T×… array, without the first axis."""
    if count == 1:
        return [context.add("Squeeze", [value, context.indices(0)])]
    parts = [context.graph.fresh(f"{context.layer.name}/Step") for _ in range(count)]
    context.add("Split", [value, context.indices(*[1] * count)], parts, axis=0)
    return [context.add("Squeeze", [part, context.indices(0)]) for part in parts]


def _matmul(context: Exporter, value: str, index: int) -> str:
    """value · Wᵀ, with the parameter at ``index``."""
    return context.add("MatMul", [value, context.transposed(index)])


def _inputs(layer: Any, context: Exporter) -> tuple[list[str], list[str], list[str]]:
    """Per time step the mapped input, N×values, and the marker, N×1; and the first states, N×H each."""
    x, cont = context.bottoms[:2]
    steps = context.length(x, 0)
    streams = context.shape(x)[1]
    features = layer.blobs[0].shape[1]
    rows = x if len(context.shape(x)) == 3 else context.reshape(x, (steps, streams, features))
    mapped = context.add("Add", [_matmul(context, rows, 0), context.parameter(1)])
    if layer.static:
        static = context.bottoms[2]
        flat = static if len(context.shape(static)) == 2 else context.add("Flatten", [static], axis=1)
        mapped = context.add("Add", [mapped, _matmul(context, flat, 2)])
    markers = context.add("Unsqueeze", [cont, context.indices(2)])
    states = [_steps(context, each, 1)[0] for each in context.bottoms[2 + layer.static :]]
    if layer.carried:
        states = [_zeros(layer, context, mapped) for _ in layer.carried]
    return _steps(context, mapped, steps), _steps(context, markers, steps), states


def _zeros(layer: Any, context: Exporter, mapped: str) -> str:
    """States of a sequence's start, N×H: a new session has no earlier sequence to go on from."""
    length = layer.options.num_output
    like = _steps_first(context, mapped, length)
    return context.add("Mul", [like, context.number(0)])


def _steps_first(context: Exporter, mapped: str, length: int) -> str:
    """The first H values of the first time step, whose shape is N×H."""
    zeros, ends = context.indices(0, 0), context.indices(1, length)
    part = context.add("Slice", [mapped, zeros, ends, context.indices(0, 2)])
    return context.add("Squeeze", [part, context.indices(0)])


def _stack(context: Exporter, values: list[str], top: str) -> None:
    """Values of the time steps as one T×N×H array."""
    axes = context.indices(0)
    whole = [context.add("Unsqueeze", [value, axes]) for value in values]
    context.add("Concat", whole, [top], axis=0)


def _cell(context: Exporter, gated: str, cell: str, marker: str, length: int) -> tuple[str, str]:
    """One step of an LSTM: the new cell state and the new hidden state."""
    parts = [context.graph.fresh(f"{context.layer.name}/Gate") for _ in range(GATES)]
    context.add("Split", [gated, context.indices(*[length] * GATES)], parts, axis=-1)
    i, f, o = (context.add("Sigmoid", [part]) for part in parts[:3])
    g = context.add("Tanh", [parts[3]])
    kept = context.add("Mul", [context.add("Mul", [f, marker]), cell])
    new_cell = context.add("Add", [kept, context.add("Mul", [i, g])])
    return new_cell, context.add("Mul", [o, context.add("Tanh", [new_cell])])


class LSTM(Converter):
    """The cell, once per time step."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """Compute c and h step by step."""
        inputs, markers, (hidden, cell) = _inputs(layer, context)
        results = []
        for x, marker in zip(inputs, markers, strict=True):
            previous = context.add("Mul", [marker, hidden])
            gated = context.add("Add", [x, _matmul(context, previous, -1)])
            cell, hidden = _cell(context, gated, cell, marker, layer.options.num_output)
            results.append(hidden)
        _stack(context, results, context.tops[0])
        for state, top in zip((hidden, cell), context.tops[1:], strict=False):
            context.add("Unsqueeze", [state, context.indices(0)], [top])


class RNN(Converter):
    """The step, once per time step; the outputs of all in one product."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """Compute h step by step, then y."""
        inputs, markers, (hidden,) = _inputs(layer, context)
        results = []
        for x, marker in zip(inputs, markers, strict=True):
            previous = context.add("Mul", [marker, hidden])
            hidden = context.add("Tanh", [context.add("Add", [x, _matmul(context, previous, -3)])])
            results.append(hidden)
        stacked = context.graph.fresh(f"{layer.name}/Hidden")
        _stack(context, results, stacked)
        biased = context.add("Add", [_matmul(context, stacked, -2), context.parameter(len(layer.blobs) - 1)])
        context.add("Tanh", [biased], context.tops[:1])
        for top in context.tops[1:]:
            context.add("Unsqueeze", [hidden, context.indices(0)], [top])


class LSTMUnit(Converter):
    """The cell of an LSTM."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """c = f · c₋₁ + i · g, h = o · tanh c."""
        cell, gated, cont = context.bottoms
        marker = context.add("Unsqueeze", [cont, context.indices(2)])
        length = context.length(cell, 2)
        results = _cell(context, gated, cell, marker, length)
        for value, top in zip(results, context.tops, strict=True):
            context.add("Identity", [value], [top])
