"""Recurrent layers: products over all steps by primitives, the steps by one program of own kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from cafx.kernel import Blob, Unsupported

from .. import native
from ..api.constants import Alg, Arg
from ..api.memory import Memory, MemoryDesc
from ..api.pointwise import binary, reduction
from ..execution import Deferred, Execution, InOrder, Run, WhenChanged, Work
from ..operands import Bindable, Operand
from ..routine import Accelerated
from .mapping import RowMapping

BLOCK = 16
HELD = 1000
"""The first key of what forward leaves for backward."""
KEPT = ("sums", "cells", "left", "hidden", "output")
"""Its names."""


class Recurrent(Accelerated):
    """What LSTM and RNN share: x is mapped for all steps at once, then one program runs all steps.

    All arrays are row-major float32 in every precision.

    Class attributes:
        cell: a key of `cells.CELLS`.
        gates: sums per unit.
        states: hidden states.
    """

    cell: ClassVar[str]
    gates: ClassVar[int]
    states: ClassVar[int]
    limit: float = math.inf
    """The largest gradient of a sum; larger ones are cut off."""

    def choose(self) -> None:
        """Row-major arrays."""
        if reason := native.unavailable():
            raise Unsupported(reason)
        layer = self.layer
        exposed = self.states if layer.options.expose_hidden else 0
        self.static = self.bottoms[2] if len(self.bottoms) == 3 + exposed else None
        self.recurrence = 2 if self.static is None else 3
        if self.propagate_down[1] or any(self.propagate_down[self.recurrence :]):
            raise Unsupported("gradients of markers or initial states")
        self.steps, self.streams, self.units = self.tops[0].shape
        self.rows = self.steps * self.streams
        self.first = self.bottoms[self.recurrence :] if exposed else layer.carried
        self.last = self.tops[1:] if exposed else layer.carried
        self.map_inputs = RowMapping(self, self.rows, 0, 1)
        self.map_static = None if self.static is None else RowMapping(self, self.streams, 2)
        for top in self.tops:
            self.build.set_layout(top, None)

    # -- memory

    @property
    def sizes(self) -> Any:
        """The sizes of the layer."""
        from ..recurrent.program import Sequences  # needs llvmlite, which is not everywhere

        return Sequences(self.cell, self.steps, self.streams, self.units, self.limit)

    def plain(self, blob: Blob, *, diff: bool = False) -> Operand:
        """A blob's values or gradients as they are."""
        return Operand(blob.synced_diff if diff else blob.synced_data, MemoryDesc.plain(blob.shape))

    def kept(self, name: str, width: int = 1, more: int = 0) -> Memory:
        """``width`` values per unit for all steps and ``more``, which backward needs if there is one."""
        desc = MemoryDesc.plain(((self.steps + more) * self.streams, width * self.units))
        if not self.training:
            return self.build.scratch(f"recurrent {name}", desc)
        arg = HELD + KEPT.index(name)
        return self.held(arg, desc)[arg]

    def scratch(self, name: str, width: int = 1, steps: int | None = None) -> Memory:
        """Such memory that lasts for one call."""
        rows = self.streams * (self.steps if steps is None else steps)
        return self.build.scratch(f"recurrent {name}", MemoryDesc.plain((rows, width * self.units)))

    def markers(self) -> tuple[Bindable, Sequence[Operand], Sequence[Work]]:
        """The continuation markers, what they are read from, and what computes them in the forward pass."""
        markers = self.plain(self.bottoms[1])
        return markers, [markers], []

    def ends(self) -> Sequence[tuple[Bindable, Bindable]]:
        """Where each state is before the first step, and after the last."""
        return [(self.plain(first), self.plain(last)) for first, last in zip(self.first, self.last, strict=True)]

    # -- forward

    def make_forward(self) -> Run:
        """Map the inputs, run the steps."""
        x, y = self.plain(self.bottoms[0]), self.plain(self.tops[0])
        parameters = [self.plain(blob) for blob in self.layer.blobs]
        markers, marks, marking = self.markers()
        ends = self.ends()
        first, last = ([each for each in side if isinstance(each, Operand)] for side in (*zip(*ends, strict=True),))
        memory: dict[str, Bindable] = {"sums": self.kept("sums", self.gates), "markers": markers}
        memory |= {"left": self.kept("left", more=1), "hidden": self.hidden(y)}
        if self.states > 1:
            memory["cells"] = self.kept("cells", more=1)
        static = [] if self.static is None else [self.plain(self.static)]
        work = [
            *marking,
            self.map_inputs.forward(x, parameters, memory["sums"]),
            *(each for s in static for each in self._add_static(s, parameters, memory["sums"])),
            *self._run_steps(parameters[self.recurrence], memory, ends),
            *self.outputs(memory["hidden"], parameters, y),
        ]
        return Execution([x, *marks, *static, *parameters, *first], work, [y, *last])

    def _add_static(self, static: Operand, parameters: Sequence[Operand], sums: Bindable) -> Sequence[Work]:
        """The product of the static input, added to the sums of each step."""
        assert self.map_static is not None
        mapped, (steps, one) = self.scratch("static", self.gates, 1), self._by_step
        arguments = {Arg.SRC: sums.window(steps), Arg.SRC_1: mapped.window(one), Arg.DST: sums.window(steps)}
        add = self.call(binary(Alg.BINARY_ADD, steps, one, steps), arguments)
        return [self.map_static.forward(static, parameters, mapped), add]

    @property
    def _by_step(self) -> tuple[MemoryDesc, MemoryDesc]:
        """The sums of all steps, and of one: a row per step."""
        values = self.gates * self.streams * self.units
        return MemoryDesc.plain((self.steps, values)), MemoryDesc.plain((1, values))

    def _run_steps(
        self, weights: Operand, memory: Mapping[str, Bindable], states: Sequence[tuple[Bindable, Bindable]]
    ) -> Sequence[Work]:
        from ..recurrent.program import forward_program, pack_program

        sizes, scratch, learning = self.sizes, self.build.scratch.floats, self.build.plan.has_backward
        common = {"threads": self.build.threads, "scratch": scratch}
        count = sizes.panels.count * sizes.panels.size(self.units)
        packed = scratch("recurrent.weights", count) if learning else self.build.keep(weights, sizes.panels, count)

        def pack() -> Callable[[], None]:
            program = pack_program(sizes, weights, packed, **common)
            return program if learning else WhenChanged([weights], program)

        run = partial(forward_program, sizes, {"weights": packed, **memory}, states, **common)
        return [Deferred(pack), Deferred(run)]

    def hidden(self, y: Operand) -> Bindable:
        """Where the hidden states of all steps go."""
        return y

    def outputs(self, hidden: Bindable, parameters: Sequence[Operand], y: Operand) -> Sequence[Work]:
        """What computes y from the hidden states, if they are not y."""
        return []

    # -- backward

    def make_backward(self) -> Run:
        """Run the steps backward; then products over all steps."""
        x, dy = self.plain(self.bottoms[0]), self.plain(self.tops[0], diff=True)
        before, diff = self.output_gradients(dy)
        sums = self.scratch("sums' gradient", self.gates)
        left = self.kept("left", more=1).window(MemoryDesc.plain((self.rows, self.units)))
        bias = self.build.scratch.floats("recurrent bias's gradient", -(-self.gates * self.units // BLOCK) * BLOCK)
        runs = [*before, self._steps_back(diff, sums, bias), *self.map_inputs.learn(x, sums, bias)]
        runs += RowMapping(self, self.rows, self.recurrence).learn(left, sums)
        runs += self._to_bottom(self.map_inputs, 0, sums)
        if self.static is not None and self.map_static is not None:
            total, (steps, one) = self.scratch("static", self.gates, 1), self._by_step
            add = reduction(Alg.REDUCTION_SUM, steps, one)
            runs.append(Execution([], [self.call(add, {Arg.SRC: sums.window(steps), Arg.DST: total.window(one)})]))
            runs += [
                *self.map_static.learn(self.plain(self.static), total),
                *self._to_bottom(self.map_static, 2, total),
            ]
        return InOrder(runs)

    def _to_bottom(self, mapping: RowMapping, index: int, dy: Bindable) -> Sequence[Run]:
        """The gradient of a bottom, if it is needed; its weights have the same index."""
        if not self.propagate_down[index]:
            return []
        weights, dx = self.plain(self.layer.blobs[index]), self.plain(self.bottoms[index], diff=True)
        return [Execution([weights], [mapping.backward(weights, dy, dx)], [dx])]

    def output_gradients(self, dy: Operand) -> tuple[Sequence[Run], Bindable]:
        """What leads from y's gradient to that of the hidden states, and the latter."""
        return [], dy

    def _steps_back(self, diff: Bindable, sums: Memory, bias: Memory) -> Run:
        from ..recurrent.program import backward_program

        sizes, scratch = self.sizes, self.build.scratch.floats
        (markers, marks, _), weights = self.markers(), self.plain(self.layer.blobs[self.recurrence])
        panels, terms = sizes.gradient_panels, self.gates * self.units
        packed = scratch("recurrent.weights", panels.count * panels.size(terms))
        memory = {"sums": self.kept("sums", self.gates), "sum_diff": sums, "bias_diff": bias}
        memory |= {"markers": markers, "diff": diff, "weights": packed}
        if self.states > 1:
            memory |= {"cells": self.kept("cells", more=1), "cell_diff": self.scratch("cells' gradient", steps=1)}
        else:
            memory["hidden"] = self.kept("hidden")
        run = partial(backward_program, sizes, weights, memory, threads=self.build.threads, scratch=scratch)
        return Execution([*marks, weights, *([diff] if isinstance(diff, Operand) else [])], [Deferred(run)])
