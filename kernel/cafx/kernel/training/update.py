"""One update of all parameters: clip, average, regularise, apply the rule, subtract.

It walks the arena in chunks that stay in a core's cache, so that every value is fetched once.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel.errors import CafxError
from cafx.kernel.net import Arena, Engine, Stretch
from cafx.kernel.training.rules import UpdateRule

CHUNK = 32_768
REGULARISERS = ("L1", "L2")


class Updater:
    """Applies one solver's rule to one net's arena.

    Args:
        options: the SolverParameter.
        rule: the solver plugin's rule.
        arena: the parameters.
        engine: who may have a faster way.
    """

    def __init__(self, options: Any, rule: UpdateRule, arena: Arena, engine: Engine) -> None:
        if options.regularization_type not in REGULARISERS:
            raise CafxError(
                "unknown regularization_type", where="solver", found=options.regularization_type, expected="L1 or L2"
            )
        self.options, self.rule, self.arena = options, rule, arena
        self.history = [arena.zeros() for _ in range(rule.slots)]
        self.chunks = [
            Stretch(start, min(start + CHUNK, stretch.stop), stretch.lr_mult, stretch.decay_mult)
            for stretch in arena.stretches
            for start in range(stretch.start, stretch.stop, CHUNK)
        ]
        self._faster = engine.updater(self)

    def apply(self, rate: float, iteration: int) -> None:
        """Update every parameter from its accumulated diff, which then holds what was subtracted."""
        self.arena.fetch()
        scale = self._clip() / self.options.iter_size
        if self._faster is not None:
            self._faster(rate, scale, iteration)
            return
        if scale != 1.0:
            self.arena.diff *= self.arena.dtype.type(scale)
        for chunk in self.chunks:
            self.run(chunk, rate, iteration)

    def finite(self) -> bool:
        """Whether every parameter is finite; one pass tells, but for values whose squares overflow."""
        with np.errstate(over="ignore", invalid="ignore"):
            if math.isfinite(_sum_of_squares(self.arena.data)):
                return True
        return bool(np.isfinite(self.arena.data).all())

    def _clip(self) -> float:
        """The factor that brings the gradient's L2 norm down to clip_gradients."""
        bound = self.options.clip_gradients
        if bound < 0:
            return 1.0
        norm = math.sqrt(_sum_of_squares(self.arena.diff))
        return bound / norm if norm > bound else 1.0

    def run(self, chunk: Stretch, rate: float, iteration: int) -> None:
        """Regularise a chunk, apply the rule and subtract; chunks may run in any order and at once."""
        stretch = slice(chunk.start, chunk.stop)
        data, diff = self.arena.data[stretch], self.arena.diff[stretch]
        decay = self.options.weight_decay * chunk.decay_mult
        if decay and self.options.regularization_type == "L2":
            diff += data.dtype.type(decay) * data
        elif decay:
            diff += data.dtype.type(decay) * np.sign(data)
        with np.errstate(over="ignore", invalid="ignore"):  # `finite` tells of those
            self.rule.update(diff, [h[stretch] for h in self.history], rate * chunk.lr_mult, iteration)
            data -= diff

    def plain_history(self) -> list[npt.NDArray[Any]]:
        """The rule's memory as Caffe files it: slot by slot, parameter by parameter."""
        return [self.arena.plain(slot, s) for slot in self.history for s in self.arena.segments]

    def restore_history(self, arrays: list[npt.NDArray[Any]], where: str) -> None:
        """Take back what `plain_history` returned; CafxError where it does not fit the net."""
        segments = self.arena.segments
        found = [array.size for array in arrays]
        expected = [segment.blob.count_ for _ in self.history for segment in segments]
        if found != expected:
            counts = [f"{len(sizes)} histories of {sum(sizes)} values" for sizes in (found, expected)]
            raise CafxError("the state is of another net or solver", where=where, found=counts[0], expected=counts[1])
        for index, array in enumerate(arrays):
            segment = segments[index % len(segments)]
            self.arena.store(array, self.history[index // len(segments)], segment)


def _sum_of_squares(values: npt.NDArray[Any]) -> float:
    return float(sum(np.dot(part, part) for part in np.array_split(values, values.size // CHUNK + 1)))
