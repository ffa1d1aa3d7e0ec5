"""LSTMUnit: one step of an LSTM, from its gates' inputs on; LSTM takes all its steps by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Layer

if TYPE_CHECKING:
    from cafx.conformance import Case

GATES = 4


def split(values: Any) -> list[Any]:
    """The quarters of N×4H values: input gate, forget gate, output gate, candidate."""
    length = values.shape[-1] // GATES
    return [values[:, i * length : (i + 1) * length] for i in range(GATES)]


def step(xp: Any, cell: Any, inputs: Any, cont: Any) -> tuple[Any, Any, Any]:
    """The activated gates, the next cell and the next hidden state.

    Args:
        cell: the cell before, N×H.
        inputs: what the gates get, N×4H.
        cont: N×1 markers, 0 where the cell before is forgotten.
    """
    length = cell.shape[-1]
    gates = xp.tanh(inputs * 0.5)
    gates *= 0.5
    gates += 0.5  # which is the sigmoid, without overflow
    gates[:, 3 * length :] = xp.tanh(inputs[:, 3 * length :])
    gates[:, length : 2 * length] *= cont
    i, f, o, g = split(gates)
    following = f * cell + i * g
    return gates, following, o * xp.tanh(following)


def step_back(xp: Any, cell: Any, gates: Any, following: Any, diff: Any, hidden: Any) -> tuple[Any, Any]:
    """The gradients of a step's inputs and of the cell before it.

    Args:
        cell, gates, following: what `step` got and gave.
        diff, hidden: gradients of the next cell and of the next hidden state.
    """
    i, f, o, g = split(gates)
    activated = xp.tanh(following)
    diff = diff + hidden * o * (1 - activated * activated)
    slopes = xp.empty_like(gates)
    di, df, do, dg = split(slopes)
    di[...] = diff * g * i * (1 - i)
    df[...] = diff * cell * f * (1 - f)
    do[...] = hidden * activated * o * (1 - o)
    dg[...] = diff * i * (1 - g * g)
    return slopes, diff * f


class LSTMUnit(Layer):
    """One LSTM step: c = f · c₋₁ + i · g, h = o · tanh c.

    i, f, o = σ of the first three quarters of the second bottom, f times cont; g = tanh of the last.
    Bottoms: c₋₁, 1×N×H; the gates' inputs, 1×N×4H; cont, 1×N, 0 where c₋₁ is to be forgotten, else 1.
    Tops: c and h, 1×N×H. Gradient: to c₋₁ and the gates' inputs.

    Raises:
        CafxError: bottoms of other shapes.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; Caffe's LSTM unit.
    """

    bottoms = 3
    tops = 2
    integer_bottoms = (2,)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Both tops have the first bottom's shape."""
        self.axis(bottom[0], 2)
        streams, length = bottom[0].shape[1:3]
        self.require_shape(bottom[0], (1, streams, length), "the cell before")
        self.require_shape(bottom[1], (1, streams, GATES * length), "the gates' inputs")
        self.require_shape(bottom[2], (1, streams), "the continuation markers' blob")
        for blob in top:
            blob.reshape(1, streams, length)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """c = f · c₋₁ + i · g, h = o · tanh c."""
        cell, inputs, cont = bottom[0].data[0], bottom[1].data[0], bottom[2].data[0][:, None]
        self.gates, self.following, hidden = step(self.xp, cell, inputs, cont)
        top[0].mutable_data[0] = self.following
        top[1].mutable_data[0] = hidden

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Back through the gates."""
        self.refuse_gradients(propagate_down)
        cell, diff, hidden = bottom[0].data[0], top[0].diff[0], top[1].diff[0]
        found = step_back(self.xp, cell, self.gates, self.following, diff, hidden)
        for blob, wanted, gradient in zip(bottom, propagate_down, found[::-1], strict=False):
            if wanted:
                blob.mutable_diff[0] = gradient

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Going on, beginning anew, and both in one batch."""
        from cafx.conformance import Case, labels, values

        yield Case("mixed", (1, 4, 3), (1, 4, 12), labels((1, 4), 2), tops=2)
        yield Case("going_on", (1, 3, 4), (1, 3, 16), values([[1, 1, 1]]), tops=2)
        yield Case("beginning", (1, 2, 5), (1, 2, 20), values([[0, 0]]), tops=2)
