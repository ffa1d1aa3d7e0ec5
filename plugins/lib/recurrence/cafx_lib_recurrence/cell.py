"""The LSTM cell: one time step of N streams with H hidden units, forward and backward."""

from __future__ import annotations

from typing import Any

GATES = 4
"""Gates per hidden unit: input, forget, output and candidate, in this order."""


def split(values: Any) -> list[Any]:
    """The quarters of an N×4H array: input gate, forget gate, output gate, candidate."""
    length = values.shape[-1] // GATES
    return [values[:, i * length : (i + 1) * length] for i in range(GATES)]


def step(xp: Any, cell: Any, inputs: Any, cont: Any) -> tuple[Any, Any, Any]:
    """One forward step.

    Args:
        xp: array module.
        cell: previous cell state, N×H.
        inputs: gate pre-activations, N×4H.
        cont: continuation markers, N×1; 0 resets the cell state.

    Returns:
        The gate activations, N×4H; the new cell state, N×H; the new hidden state, N×H.
    """
    length = cell.shape[-1]
    gates = xp.tanh(inputs * 0.5)
    gates *= 0.5
    gates += 0.5  # σ(z) = ½ tanh(½ z) + ½ does not overflow
    gates[:, 3 * length :] = xp.tanh(inputs[:, 3 * length :])
    gates[:, length : 2 * length] *= cont
    i, f, o, g = split(gates)
    new_cell = f * cell + i * g
    return gates, new_cell, o * xp.tanh(new_cell)


def step_backward(xp: Any, cell: Any, gates: Any, new_cell: Any, cell_diff: Any, hidden_diff: Any) -> tuple[Any, Any]:
    """Gradients of one step.

    Args:
        xp: array module.
        cell: previous cell state, as passed to `step`.
        gates: gate activations, as returned by `step`.
        new_cell: new cell state, as returned by `step`.
        cell_diff: gradient with respect to the new cell state, N×H.
        hidden_diff: gradient with respect to the new hidden state, N×H.

    Returns:
        The gradients with respect to the gate pre-activations, N×4H, and the previous cell state, N×H.
    """
    i, f, o, g = split(gates)
    activated = xp.tanh(new_cell)
    cell_diff = cell_diff + hidden_diff * o * (1 - activated * activated)
    gate_diffs = xp.empty_like(gates)
    di, df, do, dg = split(gate_diffs)
    di[...] = cell_diff * g * i * (1 - i)
    df[...] = cell_diff * cell * f * (1 - f)
    do[...] = hidden_diff * activated * o * (1 - o)
    dg[...] = cell_diff * i * (1 - g * g)
    return gate_diffs, cell_diff * f
