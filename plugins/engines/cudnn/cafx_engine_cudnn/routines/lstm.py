"""LSTM: one product for the inputs of all steps, then one product and one kernel per step."""

from __future__ import annotations

from typing import Any, ClassVar

from cafx_engine_cudnn.routines.recurrent import Recurrent


class LSTM(Recurrent):
    """Long short-term memory: a kernel computes all gates of a step, the cell and the output."""

    file: ClassVar[str] = "lstm.cu"
    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2
    kept: ClassVar[int] = 4 + 2

    def unroll(self, sums: Any, y: Any) -> None:
        """From the sums to y, step by step; the sums become the gates."""
        bias, recurrent = (operand.read() for operand in self.parameters[1:])
        hidden, cell = (state.read() for state in self.first)
        last = [state.target() for state in self.last]
        cells, previous = self.memory("cells", self.steps + 1), self.memory("previous", self.steps)
        self.launch_step("lstm_begin", hidden, cell, self.markers(0), previous, cells)
        shape = self.streams, self.gates * self.length, self.length
        for t in range(self.steps):
            own = self.at(sums, t, self.gates)
            self.multiply(own, self.at(previous, t), recurrent, shape, transposed=True, add=True)
            markers, new_cell = (self.markers(t), self.markers(t + 1)), cells[(t + 1) * self.streams * self.length :]
            states = self.at(cells, t), *markers, new_cell, self.at(y, t)
            self.launch_step("lstm_step", own, bias, *states, self.at(previous, t + 1), *last)

    def unroll_backward(self, dy: Any) -> Any:
        """From y's gradient to the sums', from the last step to the first."""
        recurrent, width = self.parameters[2].read(), self.gates * self.length
        gates, cells = self.memory("sums", self.steps, self.gates), self.memory("cells", self.steps + 1)
        diff = self.scratch("diff", self.steps, self.gates)
        back, cell_diff = self.scratch("back", 1), self.scratch("cell diff", 1)
        for t in reversed(range(self.steps)):
            own, new_cell = self.at(diff, t, self.gates), cells[(t + 1) * self.streams * self.length :]
            states = self.at(gates, t, self.gates), self.at(cells, t), new_cell, self.at(dy, t)
            markers = self.markers(t + 1)
            following = markers, None if markers is None else back
            self.launch_step("lstm_step_gradient", *states, *following, cell_diff, own)
            if t:
                self.multiply(back, own, recurrent, (self.streams, self.length, width))
        self.learn_product(2, diff, self.memory("previous", self.steps), (width, self.length))
        return diff
