"""RNN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..exact import valuewise
from ..execution import Execution, Run, Work
from ..operands import Bindable, Operand
from .mapping import RowMapping
from .recurrent import Recurrent


class RNN(Recurrent):
    """y is another product of the hidden states of all steps."""

    cell: ClassVar[str] = "RNN"
    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1

    def choose(self) -> None:
        """A product besides."""
        super().choose()
        self.map_outputs = RowMapping(self, self.rows, self.recurrence + 1, self.recurrence + 2)

    def hidden(self, y: Operand) -> Bindable:
        """In memory of their own."""
        return self.kept("hidden")

    def outputs(self, hidden: Bindable, parameters: Sequence[Operand], y: Operand) -> Sequence[Work]:
        """tanh of the product."""
        sums = self.kept("output")
        product = self.map_outputs.forward(hidden, parameters, sums)
        return [product, valuewise(self.build, "tanh", sums, sums, y)]

    def output_gradients(self, dy: Operand) -> tuple[Sequence[Run], Bindable]:
        """Through tanh and the product."""
        sums, weights = self.kept("output"), self.plain(self.layer.blobs[self.recurrence + 1])
        diff, hidden_diff = self.scratch("outputs' gradient"), self.scratch("hidden gradient")
        slope = valuewise(self.build, "tanh_gradient", sums, dy, diff)
        before = Execution([dy, weights], [slope, self.map_outputs.backward(weights, diff, hidden_diff)])
        return [before, *self.map_outputs.learn(self.kept("hidden"), diff)], hidden_diff
