"""Any solver's update on all threads: its rule as it is, on several parts of the arena at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from cafx.kernel.net import Stretch

CHUNK = 1 << 17
"""Values a part: few enough to stay in a core's cache, many enough that Python hardly counts."""
LEAST = 1 << 16
"""Values below which threads do not pay."""


class Threaded:
    """Parts of the arena handed to whichever thread is free; NumPy lets go of the interpreter in each.

    What is computed, value by value, is what one thread would compute.

    Args:
        updater: whose rule is applied.
        threads: how many.
    """

    def __init__(self, updater: Any, threads: int) -> None:
        self.updater, self.threads = updater, threads
        size = min(CHUNK, -(-updater.arena.size // threads))
        self._chunks = [
            Stretch(start, min(start + size, stretch.stop), stretch.lr_mult, stretch.decay_mult)
            for stretch in updater.arena.stretches
            for start in range(stretch.start, stretch.stop, size)
        ]
        self._pool = ThreadPoolExecutor(threads - 1, "cafx-update")

    @staticmethod
    def pays(updater: Any, threads: int) -> bool:
        """Whether there is enough to do for several threads."""
        return threads > 1 and updater.arena.size >= LEAST

    def __call__(self, rate: float, scale: float, iteration: int) -> None:
        """One update of the whole arena."""
        waiting = iter(self._chunks)

        def work() -> None:
            with np.errstate(over="ignore", invalid="ignore"):
                for chunk in waiting:
                    if scale != 1.0:
                        diff = self.updater.arena.diff
                        diff[chunk.start : chunk.stop] *= diff.dtype.type(scale)
                    self.updater.run(chunk, rate, iteration)

        helpers = [self._pool.submit(work) for _ in range(self.threads - 1)]
        work()
        for each in helpers:
            each.result()
