"""Lstm on the oneDNN engine: the steps of LSTM, over rows that lie one step after another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cafx.kernel import Unsupported
from cafx_engine_onednn import native
from cafx_engine_onednn.api.memory import Memory, MemoryDesc
from cafx_engine_onednn.execution import Work
from cafx_engine_onednn.operands import Bindable, Operand
from cafx_engine_onednn.routines.mapping import RowMapping
from cafx_engine_onednn.routines.recurrent import Recurrent

if TYPE_CHECKING:
    from cafx.conformance.kinds.engine import EngineCase

RECURRENCE, BIAS = 1, 2
"""Indices of W_h and b."""
EXAMPLE = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 12 dim: 5 } } }
layer { name: "clip" type: "Input" top: "clip" input_param { shape { dim: 12 dim: 1 } } }
layer { name: "subject" type: "Lstm" bottom: "x" bottom: "clip" top: "y" lstm_param { num_output: 20 batch_size: 2
  clipping_threshold: 0.05 weight_filler { type: "gaussian" std: 0.5 } } }
"""


class Lstm(Recurrent):
    """The hidden states of all steps are y; without clip, the states before the first step are 0."""

    cell: ClassVar[str] = "LSTM"
    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def choose(self) -> None:
        """Row-major arrays."""
        if reason := native.unavailable():
            raise Unsupported(reason)
        if any(self.propagate_down[1:]):
            raise Unsupported("the gradient of clip")
        layer = self.layer
        self.static = self.map_static = None
        self.recurrence = RECURRENCE
        self.steps, self.streams, self.units = layer.shape
        self.rows = self.steps * self.streams
        self.limit = layer.options.clipping_threshold if layer.options.clipping_threshold > 0 else math.inf
        self.first = self.last = layer.carried
        self.map_inputs = RowMapping(self, self.rows, 0, BIAS)
        self._markers = Memory(MemoryDesc.plain((self.rows,)))
        self._markers.flat[:] = np.arange(self.rows) >= self.streams
        self.build.set_layout(self.tops[0], None)

    def markers(self) -> tuple[Bindable, Sequence[Operand], Sequence[Work]]:
        """1 where a sequence continues: where clip is not 0; without clip, after the first step."""
        if len(self.bottoms) == 1:
            return self._markers, [], []
        clip = self.plain(self.bottoms[1])
        return self._markers, [clip], [lambda: self._mark(clip)]

    def _mark(self, clip: Operand) -> None:
        np.not_equal(clip.array, 0, out=self._markers.flat, casting="unsafe")

    def ends(self) -> Sequence[tuple[Bindable, Bindable]]:
        """The states that are kept; without clip, 0 and memory that nobody reads."""
        if self.first:
            return super().ends()
        desc = MemoryDesc.plain((self.streams, self.units))
        return [(Memory(desc), Memory(desc)) for _ in range(self.states)]

    @classmethod
    def cases(cls) -> Iterable[EngineCase]:
        """Two sequences, whose gradients are cut off."""
        from cafx.conformance.kinds.engine import EngineCase

        yield EngineCase("cut-off", EXAMPLE)
