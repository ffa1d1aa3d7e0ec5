"""SGD's update by oneDNN: two primitives per part of the arena that fits a cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from cafx.kernel import Unsupported
from cafx.kernel.net import Arena
from cafx.kernel.training import Update

from .api.attributes import Attr, SumOp
from .api.constants import Alg, Arg, scale_arg
from .api.memory import Memory, MemoryDesc
from .api.pointwise import binary
from .api.primitives import Call, CallSequence, PrimitiveDesc, Scratchpad
from .threads import use_threads

CHUNK = 1 << 17
SMALL = 1 << 10
"""Values up to which NumPy takes less time than starting threads does, as for a bias."""


class SGD(Update):
    """V ← momentum · V + rate · (scale · ∇W + decay · W); W ← W − V.

    The diffs stay gradients: where files or logs show them as what was subtracted, the rule runs as written.

    Args:
        engine: whose stream is used.
        rule, options, arena: as for `Update`.

    Raises:
        Unsupported: L1 regularisation, diffs that are shown, or another type than float32.
    """

    def __init__(self, engine: Any, rule: Any, options: Any, arena: Arena) -> None:
        if arena.dtype != np.float32 or not arena.size:
            raise Unsupported("only float32")
        if options.regularization_type != "L2" or options.snapshot_diff or options.debug_info:
            raise Unsupported("L1, or diffs that are shown")
        super().__init__(rule, options, arena, engine)
        self._engine = engine
        use_threads(engine.threads)
        self._stream, self._scratchpad = engine.stream, Scratchpad()
        self._factors: list[tuple[Any, Any, float, float]] = []
        self._primitives: dict[int, tuple[PrimitiveDesc, PrimitiveDesc]] = {}
        self._small: list[tuple[Any, ...]] = []
        calls: list[Call] = []
        for part in arena.ranges:
            gain, decay = (np.zeros(1, np.float32) for _ in range(2))
            self._factors.append((gain, decay, part.lr_mult, part.decay_mult))
            if part.stop - part.start <= SMALL:
                arrays = (each[part.start : part.stop] for each in (arena.data, arena.diff, self.history[0]))
                self._small.append((*arrays, gain, decay))
                continue
            scales = [Memory(MemoryDesc.plain((1,)), each) for each in (gain, decay)]
            for start in range(part.start, part.stop, CHUNK):
                chunk = slice(start, min(start + CHUNK, part.stop))
                calls += self._calls((arena.data[chunk], arena.diff[chunk], self.history[0][chunk]), scales)
        self._all = CallSequence(calls)

    def _calls(self, arrays: tuple[Any, Any, Any], scales: list[Memory]) -> list[Call]:
        desc = MemoryDesc.plain((arrays[0].size,))
        weights, diff, velocity = (Memory(desc, each) for each in arrays)
        if arrays[0].size not in self._primitives:
            attr = Attr([SumOp(self.options.momentum)], scales=[Arg.SRC, Arg.SRC_1])
            self._primitives[arrays[0].size] = (
                binary(Alg.BINARY_ADD, desc, desc, desc, attr=attr),
                binary(Alg.BINARY_SUB, desc, desc, desc),
            )
        accumulate, subtract = self._primitives[arrays[0].size]
        roles: dict[int, Memory] = {Arg.SRC: diff, Arg.SRC_1: weights, Arg.DST: velocity}
        roles |= {scale_arg(Arg.SRC): scales[0], scale_arg(Arg.SRC_1): scales[1]}
        final: dict[int, Memory] = {Arg.SRC: weights, Arg.SRC_1: velocity, Arg.DST: weights}
        return [
            desc.build().prepare(self._stream, memory | self._scratchpad.argument(desc))
            for desc, memory in ((accumulate, roles), (subtract, final))
        ]

    def apply(self, rate: float, scale: Any, iteration: int) -> None:
        """One update of the whole arena."""
        use_threads(self._engine.threads)
        gradient = 1.0 if scale is None else float(scale)
        for gain, decay, lr_mult, decay_mult in self._factors:
            gain[0] = rate * lr_mult * gradient
            decay[0] = rate * lr_mult * self.options.weight_decay * decay_mult
        self._all()
        momentum = np.float32(self.options.momentum)
        with np.errstate(over="ignore", invalid="ignore"):  # `finite` reports those
            for weights, diff, velocity, gain, decay in self._small:
                velocity *= momentum
                velocity += gain * diff + decay * weights
                weights -= velocity
