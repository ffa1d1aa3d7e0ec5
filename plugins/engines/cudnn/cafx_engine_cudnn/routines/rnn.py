"""RNN: one product for the inputs of all steps, one product and one kernel per step, one product for all outputs."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from cafx_engine_cudnn.routines.recurrent import Recurrent


class RNN(Recurrent):
    """Simple recurrent layer."""

    file: ClassVar[str] = "rnn.cu"
    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1
    kept: ClassVar[int] = 3

    def unroll(self, sums: Any, y: Any) -> None:
        """From the sums to the hidden states, step by step; they take the place of the sums."""
        bias, recurrent, output, output_bias = (operand.read() for operand in self.parameters[1:])
        (hidden,), (last,) = ([state.read() for state in self.first], [state.target() for state in self.last])
        previous, outputs = self.memory("previous", self.steps), self.memory("outputs", self.steps)
        self.launch_step("rnn_begin", hidden, self.markers(0), previous)
        shape = self.streams, self.length, self.length
        for t in range(self.steps):
            own = self.at(sums, t)
            self.multiply(own, self.at(previous, t), recurrent, shape, transposed=True, add=True)
            self.launch_step("rnn_step", own, bias, self.markers(t + 1), self.at(previous, t + 1), last)
        self.multiply(outputs, sums, output, (self.rows, self.length, self.length), transposed=True)
        self._launch_all("rnn_output", outputs, output_bias, y)

    def _launch_all(self, kernel: str, *arrays: Any) -> None:
        """Run a kernel over all steps."""
        numbers = np.int32(self.rows), np.int32(self.length)
        self.launch(self.file, kernel, self.rows * self.length, *arrays, *numbers)

    def unroll_backward(self, dy: Any) -> Any:
        """From y's gradient to the outputs' sums, from these to all steps, from the last to the first."""
        recurrent, output = self.parameters[2].read(), self.parameters[3].read()
        hidden, previous, outputs = (self.memory(name, self.steps) for name in ("sums", "previous", "outputs"))
        output_diff, diff, back = self.scratch("output diff", self.steps), self.scratch("diff", self.steps), None
        self._launch_all("rnn_output_gradient", outputs, dy, output_diff)
        square = self.length, self.length
        self.learn_sum(4, output_diff, self.length)
        self.learn_product(3, output_diff, hidden, square)
        self.multiply(diff, output_diff, output, (self.rows, *square))
        for t in reversed(range(self.steps)):
            own = self.at(diff, t)
            self.launch_step("rnn_step_gradient", self.at(hidden, t), self.markers(t + 1), back, own)
            if t:
                back = self.scratch("back", 1)
                self.multiply(back, own, recurrent, (self.streams, *square))
        self.learn_product(2, diff, previous, square)
        return diff
