"""LSTM: the recurrent layer with a memory cell and gates."""

from __future__ import annotations

from typing import Any

from cafx_lib_recurrence import Recurrent, rows
from cafx_lib_recurrence.cell import GATES, step, step_backward


class LSTM(Recurrent):
    """Long short-term memory: cₜ = f · cₜ₋₁ + i · g, hₜ = o · tanh cₜ, yₜ = hₜ.

    i, f, o = σ and g = tanh of the quarters of W_x xₜ + W_s s + b + W_h (contₜ · hₜ₋₁); f is also
    multiplied by contₜ.
    Bottoms: x, T×N×…; cont, T×N, 0 where a sequence starts, else 1; optionally s, N×…; with
    expose_hidden h₀ and c₀, 1×N×H. Tops: y, T×N×H; with expose_hidden h_T and c_T, 1×N×H.
    Parameters: W_x, b and, with a static input s, W_s; then W_h (4H×H).
    Gradient: through all T steps, but neither to h₀ and c₀ nor from h_T and c_T. Without expose_hidden,
    h₀ and c₀ are the final states of the previous forward pass.

    Raises:
        CafxError: num_output is missing, or the number or shape of bottoms or tops is wrong.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; Donahue et al., "Long-term
    Recurrent Convolutional Networks for Visual Recognition and Description", 2014.

    Read by engines:
        carried: blobs with the states that the last forward pass ended in; none with expose_hidden.
    """

    bottoms = (2, 5)
    tops = (1, 3)
    constant_tops = (1, 2)
    states = 2
    gates = GATES

    def add_recurrence(self, length: int) -> None:
        """Create W_h."""
        self.add_parameter((GATES * length, length), self.options.weight_filler)

    def unroll(self, inputs: Any, cont: Any, states: list[Any], y: Any) -> list[Any]:
        """Compute c and h step by step."""
        weights = self.blobs[-1].data
        self.previous, self.previous_cells = self.xp.empty_like(y), self.xp.empty_like(y)
        self.activations, self.cells = self.xp.empty_like(inputs), self.xp.empty_like(y)
        hidden, cell = states
        for t in range(len(inputs)):
            self.previous[t], self.previous_cells[t] = cont[t] * hidden, cell
            gated = inputs[t] + self.xp.matmul(self.previous[t], weights.T)
            self.activations[t], cell, hidden = step(self.xp, cell, gated, cont[t])
            self.cells[t], y[t] = cell, hidden
        return [hidden, cell]

    def unroll_backward(self, dy: Any, cont: Any) -> Any:
        """Backpropagate step by step, from the last to the first."""
        weights = self.blobs[-1].data
        diff, hidden_diff, cell_diff = self.xp.empty_like(self.activations), 0, 0
        for t in reversed(range(len(diff))):
            kept = self.previous_cells[t], self.activations[t], self.cells[t]
            diff[t], cell_diff = step_backward(self.xp, *kept, cell_diff, dy[t] + hidden_diff)
            hidden_diff = cont[t] * self.xp.matmul(diff[t], weights)
        self.add_gradient(-1, self.xp.matmul(rows(diff).T, rows(self.previous)))
        return diff
