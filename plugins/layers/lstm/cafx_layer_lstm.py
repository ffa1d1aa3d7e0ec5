"""LSTM: the recurrent layer with a memory cell and gates."""

from __future__ import annotations

from typing import Any

from cafx_layer_lstmunit import GATES, step, step_back
from cafx_layer_rnn import Recurrent, rows


class LSTM(Recurrent):
    """Long short-term memory: cₜ = f · cₜ₋₁ + i · g, hₜ = o · tanh cₜ, yₜ = hₜ.

    i, f, o = σ and g = tanh of the quarters of W_x xₜ + W_s s + b + W_h (contₜ · hₜ₋₁); f is also
    multiplied by contₜ.
    Bottoms: x, T×N×…; cont, T×N, 0 where a sequence begins, else 1; optionally s, N×…; with
    expose_hidden h₀ and c₀, 1×N×H. Tops: y, T×N×H; with expose_hidden h_T and c_T, 1×N×H.
    Parameters: W_x, b and, with a static input s, W_s; then W_h (4H×H).
    Gradient: through all steps of one forward, none to h₀ and c₀, and none from h_T and c_T; without
    expose_hidden h₀ and c₀ are what the forward before left.

    Raises:
        CafxError: no num_output, or bottoms and tops of another number or shape.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; Donahue et al., "Long-term
    Recurrent Convolutional Networks for Visual Recognition and Description", 2014.
    """

    bottoms = (2, 5)
    tops = (1, 3)
    constant_tops = (1, 2)
    states = 2
    values = GATES

    def add_recurrence(self, length: int) -> None:
        """Make W_h."""
        self.add_parameter((GATES * length, length), self.options.weight_filler)

    def unroll(self, inputs: Any, cont: Any, states: list[Any], y: Any) -> list[Any]:
        """c and h step by step."""
        weights = self.blobs[-1].data
        self.before, self.cells_before = self.xp.empty_like(y), self.xp.empty_like(y)
        self.gates, self.cells = self.xp.empty_like(inputs), self.xp.empty_like(y)
        hidden, cell = states
        for t in range(len(inputs)):
            self.before[t], self.cells_before[t] = cont[t] * hidden, cell
            gated = inputs[t] + self.before[t] @ weights.T
            self.gates[t], cell, hidden = step(self.xp, cell, gated, cont[t])
            self.cells[t], y[t] = cell, hidden
        return [hidden, cell]

    def roll_back(self, dy: Any, cont: Any) -> Any:
        """Step by step, from the last to the first."""
        weights = self.blobs[-1].data
        diff, hidden, cell = self.xp.empty_like(self.gates), 0, 0
        for t in reversed(range(len(diff))):
            held = self.cells_before[t], self.gates[t], self.cells[t]
            diff[t], cell = step_back(self.xp, *held, cell, dy[t] + hidden)
            hidden = cont[t] * (diff[t] @ weights)
        self.add_gradient(-1, rows(diff).T @ rows(self.before))
        return diff
