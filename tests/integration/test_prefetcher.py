"""The prefetcher: order, memory, errors of workers."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from cafx_lib_feed.prefetch import Batch, Prefetcher, Source


class Failing(Source):
    """Fails at the third batch, in ``fetch`` or in ``fill``."""

    def __init__(self, where: str, error: BaseException) -> None:
        self.where, self.error = where, error

    def fetch(self, batch: int) -> int:
        if self.where == "fetch" and batch == 2:
            raise self.error
        return batch

    def fill(self, fetched: int, number: int, batch: Batch) -> None:
        if self.where == "fill" and number == 2:
            raise self.error
        batch.shape((2,))[0][...] = number


@pytest.mark.parametrize("where", ["fetch", "fill"])
@pytest.mark.parametrize("error", [ValueError("odd"), MemoryError(), SystemExit(3)])
def test_a_worker_s_error_is_raised_at_its_batch_and_again(where: str, error: BaseException) -> None:
    prefetcher = Prefetcher(Failing(where, error), 4, np.float32)
    assert [float(prefetcher.next().arrays[0][0]) for _ in range(2)] == [0, 1]
    for _ in range(2):
        with pytest.raises(type(error)):
            prefetcher.next()
    prefetcher.close()


def test_a_prefetcher_reuses_batches_and_ends_its_threads() -> None:
    others = set(threading.enumerate())
    prefetcher = Prefetcher(Failing("nowhere", ValueError()), 3, np.float32, first=5)
    batches = [prefetcher.next() for _ in range(200)]
    assert len({id(batch) for batch in batches}) <= 4
    prefetcher.close()
    assert not any(thread.name.startswith("cafx-prefetch") for thread in set(threading.enumerate()) - others)
