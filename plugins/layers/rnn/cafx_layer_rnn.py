"""RNN: the simple recurrent layer."""

from __future__ import annotations

from typing import Any

from cafx_lib_recurrence import Recurrent, rows


class RNN(Recurrent):
    """Simple recurrent layer: hₜ = tanh(W_x xₜ + W_s s + b + W_h (contₜ · hₜ₋₁)), yₜ = tanh(W_o hₜ + b_o).

    Bottoms: x, T×N×…; cont, T×N, 0 where a sequence starts, else 1; optionally s, N×…; with
    expose_hidden h₀, 1×N×H. Tops: y, T×N×H; with expose_hidden h_T, 1×N×H.
    Parameters: W_x, b and, with a static input s, W_s; then W_h (H×H), W_o (H×H), b_o (H).
    Gradient: through all T steps, but neither to h₀ nor from h_T. Without expose_hidden, h₀ is the final
    state of the previous forward pass.

    Raises:
        CafxError: num_output is missing, or the number or shape of bottoms or tops is wrong.

    Source: Elman, "Finding Structure in Time", 1990; Caffe's layer catalogue, RNN.

    Read by engines:
        carried: blobs with the state that the last forward pass ended in; none with expose_hidden.
    """

    bottoms = (2, 4)
    tops = (1, 2)
    constant_tops = (1,)

    def add_recurrence(self, length: int) -> None:
        """Create W_h, W_o and b_o."""
        self.add_parameter((length, length), self.options.weight_filler)
        self.add_parameter((length, length), self.options.weight_filler)
        self.add_parameter((length,), self.options.bias_filler)

    def unroll(self, inputs: Any, cont: Any, states: list[Any], y: Any) -> list[Any]:
        """Compute h step by step, then y for all steps in one product."""
        weights, output, bias = (blob.data for blob in self.blobs[-3:])
        self.previous, self.hidden = self.xp.empty_like(y), self.xp.empty_like(y)
        hidden = states[0]
        for t in range(len(inputs)):
            self.previous[t] = cont[t] * hidden
            hidden = self.xp.tanh(inputs[t] + self.xp.matmul(self.previous[t], weights.T))
            self.hidden[t] = hidden
        self.y = self.xp.tanh(self.xp.matmul(self.hidden, output.T) + bias)
        y[...] = self.y
        return [hidden]

    def unroll_backward(self, dy: Any, cont: Any) -> Any:
        """Backpropagate to all h in one product, then from each step to the previous one."""
        weights, output = self.blobs[-3].data, self.blobs[-2].data
        output_diff = dy * (1 - self.y * self.y)
        self.add_gradient(-1, rows(output_diff).sum(axis=0))
        self.add_gradient(-2, self.xp.matmul(rows(output_diff).T, rows(self.hidden)))
        diff = self.xp.matmul(output_diff, output)
        slope = 1 - self.hidden * self.hidden
        for t in reversed(range(len(diff))):
            if t + 1 < len(diff):
                diff[t] += cont[t + 1] * self.xp.matmul(diff[t + 1], weights)
            diff[t] *= slope[t]
        self.add_gradient(-3, self.xp.matmul(rows(diff).T, rows(self.previous)))
        return diff
