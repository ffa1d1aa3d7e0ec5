"""What the cells of recurrent layers compute in one step: for one stream, a vector of 16 units at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import attrs

from cafx_lib_llvm import LANES, Emitter, Value

from .functions import logistic, tanh

Product = Sequence[Value] | None
"""A stream's products with the panel; None for none."""


@attrs.frozen(eq=False)
class Units:
    """A vector of units of one stream: where its values are.

    Attributes:
        e: the kernel being written.
        args, memory: the kernel's arguments, and pointers to their memory; see `steps.StepArguments`.
        stream, unit: the stream and the first unit.
    """

    e: Emitter
    args: Any
    memory: Any
    stream: Value
    unit: Value

    def load(self, name: str, gate: int = 0, gates: int = 1, *, after: bool = False) -> Value:
        """Values of a memory; those after the step where there are those before it, too."""
        return self.e.load_lanes(self._mask, getattr(self.memory, name), self._offset(gate, gates, after))

    def store(self, value: Value, name: str, gate: int = 0, gates: int = 1, *, after: bool = False) -> None:
        """Write such values."""
        self.e.store_lanes(self._mask, value, getattr(self.memory, name), self._offset(gate, gates, after))

    def pass_on(self, value: Value, gate: int = 0, gates: int = 1) -> None:
        """Write the gradient of a sum, cut off at the limit, and add it to the bias's."""
        e, at = self.e, self.e.add(self.e.multiply(self.args.units, gate), self.unit)
        value = self._limited(value)
        self.store(value, "sum_diff", gate, gates)
        total = e.builder.fadd(e.load_lanes(self._mask, self.memory.bias_diff, at), value)
        e.store_lanes(self._mask, total, self.memory.bias_diff, at)

    def _limited(self, value: Value) -> Value:
        b, limit = self.e.builder, self.e.splat(self.args.limit)
        lower = b.fneg(limit)
        raised = b.select(b.fcmp_ordered("<", value, lower), lower, value)
        return b.select(b.fcmp_ordered(">", raised, limit), limit, raised)

    def marker(self, name: str) -> Value:
        """The stream's continuation marker, in all lanes."""
        return self.e.splat(self.e.builder.load(self.e.at(getattr(self.memory, name), self.stream)))

    @property
    def _mask(self) -> Value:
        return self.e.first_lanes(self.e.builder.sub(self.args.units, self.unit))

    def _offset(self, gate: int, gates: int, after: bool) -> Value:
        row = self.e.add(self.e.multiply(self.stream, gates), gate)
        return self.e.add(self.e.multiply(row, self.args.units), self.unit, self.args.state if after else 0)


class LSTM:
    """Gates i, f, o and g; c = f · c₋₁ + i · g, h = o · tanh c."""

    gates: ClassVar[int] = 4

    @staticmethod
    def forward(units: Sequence[Units], product: Sequence[Value]) -> None:
        """The panel has the four gates of one vector of units."""
        (at,) = units
        b, e = at.e.builder, at.e
        sums = [b.fadd(at.load("sums", gate, 4), each) for gate, each in enumerate(product)]
        i, f, o = (logistic(e, each) for each in sums[:3])
        f, g = b.fmul(f, at.marker("markers")), tanh(e, sums[3])
        for gate, value in enumerate((i, f, o, g)):
            at.store(value, "sums", gate, 4)
        cell = e.fma(f, at.load("cells"), b.fmul(i, g))
        at.store(cell, "cells", after=True)
        _finish(at, b.fmul(o, tanh(e, cell)))

    @staticmethod
    def backward(units: Sequence[Units], product: Product) -> None:
        """The panel has several vectors of units."""
        for index, at in enumerate(units):
            b, e, one = at.e.builder, at.e, at.e.constant(1)
            hidden = _from_next(at, product[index] if product else None)
            i, f, o, g = (at.load("sums", gate, 4) for gate in range(4))
            activated = tanh(e, at.load("cells", after=True))
            through = b.fmul(b.fmul(hidden, o), b.fsub(one, b.fmul(activated, activated)))
            cell = b.fadd(at.load("cell_diff"), through) if product else through
            diffs = (
                b.fmul(b.fmul(cell, g), _slope(at, i)),
                b.fmul(b.fmul(cell, at.load("cells")), _slope(at, f)),
                b.fmul(b.fmul(hidden, activated), _slope(at, o)),
                b.fmul(b.fmul(cell, i), b.fsub(one, b.fmul(g, g))),
            )
            for gate, value in enumerate(diffs):
                at.pass_on(value, gate, 4)
            at.store(b.fmul(cell, f), "cell_diff")


class RNN:
    """h = tanh of the sums."""

    gates: ClassVar[int] = 1

    @staticmethod
    def forward(units: Sequence[Units], product: Sequence[Value]) -> None:
        """The panel has several vectors of units."""
        for at, each in zip(units, product, strict=True):
            _finish(at, tanh(at.e, at.e.builder.fadd(at.load("sums"), each)))

    @staticmethod
    def backward(units: Sequence[Units], product: Product) -> None:
        """The panel has several vectors of units."""
        for index, at in enumerate(units):
            b, hidden = at.e.builder, at.load("hidden")
            slope = b.fsub(at.e.constant(1), b.fmul(hidden, hidden))
            at.pass_on(b.fmul(_from_next(at, product[index] if product else None), slope))


Cell = type[LSTM] | type[RNN]
CELLS: dict[str, Cell] = {each.__name__: each for each in (LSTM, RNN)}
Apply = Callable[[Sequence[Units], Any], None]


def vectors(e: Emitter, args: Any, memory: Any, stream: Value, count: int) -> list[Units]:
    """So many neighbouring vectors of units, from the panel's first."""
    return [Units(e, args, memory, stream, e.add(args.start, n * LANES)) for n in range(count)]


def _finish(at: Units, hidden: Value) -> None:
    """Write the hidden state, and what the next step multiplies."""
    at.store(hidden, "hidden")
    at.store(at.e.builder.fmul(at.marker("following_markers"), hidden), "following")


def _from_next(at: Units, product: Value | None) -> Value:
    """The gradient of the hidden state: from above, and from the next step."""
    if product is None:
        return at.load("diff")
    return at.e.fma(at.marker("following_markers"), product, at.load("diff"))


def _slope(at: Units, value: Value) -> Value:
    """The logistic function's derivative, from its value."""
    return at.e.builder.fmul(value, at.e.builder.fsub(at.e.constant(1), value))
