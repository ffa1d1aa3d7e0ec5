"""The six update rules, each as one kernel over the arena."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cafx.kernel import Unsupported
from cafx.kernel.net import Arena
from cafx.kernel.training import NEVER, Update
from cafx_engine_cupy.session import BLOCK, NULL, Session

KINDS = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
"""In the order of the kernel file's numbers."""
CHUNK = 1 << 13
"""Values that one block works on."""
CHUNK_TYPE = np.dtype(
    [
        ("start", np.int64),
        ("fours", np.int32),
        ("lr_mult", np.float32),
        ("decay_mult", np.float32),
        ("unused", np.int32),
    ]
)


class FusedUpdate(Update):
    """An update of the whole arena by one kernel; by three, where gradients are clipped.

    Averaging, clipping, regularisation, the rule, the subtraction and the search for values that are
    not finite happen in one pass. The diffs stay gradients, unless files or logs show them as what
    was subtracted.

    Args:
        engine: whose GPU is used.
        rule, options, arena: as for `Update`.

    Attributes:
        first_not_finite: the first iteration after which a parameter was not finite.

    Raises:
        Unsupported: an arena that is empty or not float32.
    """

    def __init__(self, engine: Any, rule: Any, options: Any, arena: Arena) -> None:
        if arena.dtype != np.float32 or not arena.size:
            raise Unsupported("only float32")
        super().__init__(rule, options, arena, engine)
        self._session: Session = engine.session
        self._session.use()
        cupy = self._session.cupy
        self.first_not_finite = cupy.full((), NEVER, np.int32)
        self._chunks = cupy.asarray(_chunks(arena).view(np.uint8))
        self._count = self._chunks.size // CHUNK_TYPE.itemsize
        self._partial = cupy.empty(self._session.grid(arena.size // 4)[0], np.float32)
        self._norm, self._factor = cupy.zeros(1, np.float32), cupy.zeros(1, np.float32)
        self._kind = options.type

    def run(self, rate: float, iteration: int) -> None:
        """One update of the whole arena."""
        self._session.use()
        self.exchange()
        arena, options = self.arena, self.options
        second = self.history[1] if len(self.history) > 1 else NULL
        first_decay = options.rms_decay if self._kind == "RMSProp" else options.momentum
        arguments = (
            *(arena.data, arena.diff, self.history[0], second, self._chunks, self._scale(), self.first_not_finite),
            *(np.int32(iteration), np.float32(rate * self._correction(iteration))),
            *(np.float32(options.weight_decay), np.int32(options.regularization_type == "L1")),
            *(np.float32(first_decay), np.float32(options.momentum2), np.float32(options.delta)),
            np.int32(options.snapshot_diff or options.debug_info),
        )
        self._kernel("update")((self._count,), (BLOCK,), arguments)

    def norm(self) -> Any:
        """The L2 norm of all gradients."""
        self._clip(math.inf)
        return self._norm[0]

    def finite(self) -> Any:
        """Whether every parameter has been finite after every update."""
        return self.first_not_finite == NEVER

    def _correction(self, iteration: int) -> float:
        """Adam's √(1 − β₂ᵗ) / (1 − β₁ᵗ); 1 for the other rules."""
        if self._kind != "Adam":
            return 1.0
        done = iteration + 1
        return math.sqrt(1 - self.options.momentum2**done) / (1 - self.options.momentum**done)

    def _scale(self) -> Any:
        """The factor that clips and averages the gradients, on the GPU; null for 1."""
        bound, batches = self.options.clip_gradients * self.ranks, self.options.iter_size * self.ranks
        if bound < 0 and batches == 1:
            return NULL
        if bound < 0:
            self._factor.fill(1.0 / batches)
        else:
            self._clip(bound)
        return self._factor

    def _clip(self, bound: float) -> None:
        """Write norm and factor."""
        blocks, fours = self._partial.size, self.arena.size // 4
        self._kernel("squares")((blocks,), (BLOCK,), (self.arena.diff, self._partial, np.int64(fours)))
        factors = np.float32(bound), np.float32(self.options.iter_size * self.ranks)
        arguments = (self._partial, np.int32(blocks), *factors, self._norm, self._factor)
        self._kernel("clip")((1,), (BLOCK,), arguments)

    def _kernel(self, name: str) -> Any:
        return self._session.kernel(__package__, "update.cu", name, (f"-DKIND={KINDS.index(self._kind)}",))


def _chunks(arena: Arena) -> Any:
    """The arena's ranges in pieces of `CHUNK` values; each is rounded up into its padding."""
    pieces = [
        (start, -(-min(CHUNK, part.stop - start) // 4), part.lr_mult, part.decay_mult, 0)
        for part in arena.ranges
        for start in range(part.start, part.stop, CHUNK)
    ]
    return np.array(pieces, CHUNK_TYPE)
