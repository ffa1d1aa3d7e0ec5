"""LSTMUnit: one time step of an LSTM, given the gate pre-activations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer
from cafx_lib_recurrence.cell import GATES, step, step_backward

if TYPE_CHECKING:
    from cafx.conformance import Case


class LSTMUnit(Layer):
    """One LSTM step: c = f · c₋₁ + i · g, h = o · tanh c.

    i, f, o = σ of the first three quarters of the second bottom, f times cont; g = tanh of the last.
    Bottoms: c₋₁, 1×N×H; the gate pre-activations, 1×N×4H; cont, 1×N, 0 to reset c₋₁, else 1.
    Tops: c and h, 1×N×H. Gradient: to c₋₁ and the gate pre-activations.

    Raises:
        CafxError: a bottom has the wrong shape.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; Caffe's LSTM unit.
    """

    bottoms = 3
    tops = 2
    integer_bottoms = (2,)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Both tops have the first bottom's shape."""
        self.axis(bottom[0], 2)
        streams, length = bottom[0].shape[1:3]
        self.require_shape(bottom[0], (1, streams, length), "bottom 0 (previous cell state)")
        self.require_shape(bottom[1], (1, streams, GATES * length), "bottom 1 (gate pre-activations)")
        self.require_shape(bottom[2], (1, streams), "bottom 2 (continuation markers)")
        for blob in top:
            blob.reshape(1, streams, length)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """c = f · c₋₁ + i · g, h = o · tanh c."""
        cell, inputs, cont = bottom[0].data[0], bottom[1].data[0], bottom[2].data[0][:, None]
        self.gates, self.new_cell, hidden = step(self.xp, cell, inputs, cont)
        top[0].mutable_data[0] = self.new_cell
        top[1].mutable_data[0] = hidden

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Backpropagate through the gates."""
        self.refuse_gradients(propagate_down)
        cell, cell_diff, hidden_diff = bottom[0].data[0], top[0].diff[0], top[1].diff[0]
        gradients = step_backward(self.xp, cell, self.gates, self.new_cell, cell_diff, hidden_diff)
        for blob, needed, gradient in zip(bottom, propagate_down, gradients[::-1], strict=False):
            if needed:
                blob.mutable_diff[0] = gradient

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Sequences that continue, that start, and both in one batch."""
        from cafx.conformance import Case, labels, values

        yield Case("mixed", (1, 4, 3), (1, 4, 12), labels((1, 4), 2), tops=2)
        yield Case("continuing", (1, 3, 4), (1, 3, 16), values([[1, 1, 1]]), tops=2)
        yield Case("starting", (1, 2, 5), (1, 2, 20), values([[0, 0]]), tops=2)
