"""RNN: the simple recurrent layer."""

from __future__ import annotations

from typing import Any

from cafx_layer_rnn.options import RecurrentParameter
from cafx_layer_rnn.recurrent import Recurrent, rows

__all__ = ["RNN", "Recurrent", "RecurrentParameter", "rows"]


class RNN(Recurrent):
    """Simple recurrent layer: hₜ = tanh(W_x xₜ + W_s s + b + W_h (contₜ · hₜ₋₁)), yₜ = tanh(W_o hₜ + b_o).

    Bottoms: x, T×N×…; cont, T×N, 0 where a sequence begins, else 1; optionally s, N×…; with
    expose_hidden h₀, 1×N×H. Tops: y, T×N×H; with expose_hidden h_T, 1×N×H.
    Parameters: W_x, b and, with a static input s, W_s; then W_h (H×H), W_o (H×H), b_o (H).
    Gradient: through all steps of one forward, none to h₀, and none from h_T; without expose_hidden
    h₀ is what the forward before left.

    Raises:
        CafxError: no num_output, or bottoms and tops of another number or shape.

    Source: Elman, "Finding Structure in Time", 1990; Caffe's layer catalogue, RNN.
    """

    bottoms = (2, 4)
    tops = (1, 2)
    constant_tops = (1,)

    def add_recurrence(self, length: int) -> None:
        """Make W_h, W_o and b_o."""
        self.add_parameter((length, length), self.options.weight_filler)
        self.add_parameter((length, length), self.options.weight_filler)
        self.add_parameter((length,), self.options.bias_filler)

    def unroll(self, inputs: Any, cont: Any, states: list[Any], y: Any) -> list[Any]:
        """h step by step; y from all of them at once."""
        weights, output, bias = (blob.data for blob in self.blobs[-3:])
        self.before, self.after = self.xp.empty_like(y), self.xp.empty_like(y)
        hidden = states[0]
        for t in range(len(inputs)):
            self.before[t] = cont[t] * hidden
            hidden = self.xp.tanh(inputs[t] + self.before[t] @ weights.T)
            self.after[t] = hidden
        self.y = self.xp.tanh(self.after @ output.T + bias)
        y[...] = self.y
        return [hidden]

    def roll_back(self, dy: Any, cont: Any) -> Any:
        """dy to all h at once, then step by step to earlier ones."""
        weights, output = self.blobs[-3].data, self.blobs[-2].data
        output_diff = dy * (1 - self.y * self.y)
        self.add_gradient(-1, rows(output_diff).sum(axis=0))
        self.add_gradient(-2, rows(output_diff).T @ rows(self.after))
        diff = output_diff @ output
        slope = 1 - self.after * self.after
        for t in reversed(range(len(diff))):
            if t + 1 < len(diff):
                diff[t] += cont[t + 1] * (diff[t + 1] @ weights)
            diff[t] *= slope[t]
        self.add_gradient(-3, rows(diff).T @ rows(self.before))
        return diff
