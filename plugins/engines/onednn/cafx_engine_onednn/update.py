"""SGD's update by oneDNN: two primitives for each stretch of the arena that fits a cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Unsupported

from .api.attributes import Attr, SumOp
from .api.constants import Alg, Arg, scale_arg
from .api.memory import Memory, MemoryDesc
from .api.pointwise import binary
from .api.primitives import Call, PrimitiveDesc, Program

if TYPE_CHECKING:
    from .engine import OneDNN

CHUNK = 1 << 17


class SGD:
    """V ← momentum · V + rate · (scale · ∇W + decay · W); W ← W − V.

    The diffs stay gradients: where they are to be filed as what was subtracted, the plain way is kept.

    Raises:
        Unsupported: L1 regularisation, diffs in snapshots, or another type than float32.
    """

    def __init__(self, engine: OneDNN, updater: Any) -> None:
        self.engine, self.options, arena = engine, updater.options, updater.arena
        if arena.dtype != np.float32 or not arena.size:
            raise Unsupported("only float32")
        if self.options.regularization_type != "L2" or self.options.snapshot_diff or self.options.debug_info:
            raise Unsupported("L1, or diffs that are shown")
        self._rates: list[tuple[Any, Any, float, float]] = []
        self._made: dict[int, tuple[PrimitiveDesc, PrimitiveDesc]] = {}
        calls: list[Call] = []
        for stretch in arena.stretches:
            gain, decay = (np.zeros(1, np.float32) for _ in range(2))
            self._rates.append((gain, decay, stretch.lr_mult, stretch.decay_mult))
            scales = [Memory(MemoryDesc.plain((1,)), each) for each in (gain, decay)]
            for start in range(stretch.start, stretch.stop, CHUNK):
                part = slice(start, min(start + CHUNK, stretch.stop))
                arrays = (arena.data[part], arena.diff[part], updater.history[0][part])
                calls += self._calls(arrays, scales)
        self._program = Program(calls)
        self._keep = arena

    def _calls(self, arrays: tuple[Any, Any, Any], scales: list[Memory]) -> list[Call]:
        desc = MemoryDesc.plain((arrays[0].size,))
        weights, diff, velocity = (Memory(desc, each) for each in arrays)
        if arrays[0].size not in self._made:
            attr = Attr([SumOp(self.options.momentum)], scales=[Arg.SRC, Arg.SRC_1])
            self._made[arrays[0].size] = (
                binary(Alg.BINARY_ADD, desc, desc, desc, attr=attr),
                binary(Alg.BINARY_SUB, desc, desc, desc),
            )
        carry, subtract = self._made[arrays[0].size]
        roles: dict[int, Memory] = {Arg.SRC: diff, Arg.SRC_1: weights, Arg.DST: velocity}
        roles |= {scale_arg(Arg.SRC): scales[0], scale_arg(Arg.SRC_1): scales[1]}
        final: dict[int, Memory] = {Arg.SRC: weights, Arg.SRC_1: velocity, Arg.DST: weights}
        stream = self.engine.stream
        return [
            made.build().prepare(stream, memory | self.engine.scratch.argument(made))
            for made, memory in ((carry, roles), (subtract, final))
        ]

    def __call__(self, rate: float, scale: float, iteration: int) -> None:
        """One update of the whole arena."""
        for gain, decay, lr_mult, decay_mult in self._rates:
            gain[0] = rate * lr_mult * scale
            decay[0] = rate * lr_mult * self.options.weight_decay * decay_mult
        self._program()
