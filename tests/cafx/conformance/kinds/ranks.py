"""What the ranks of a communicator do when it is checked; a program that each of them runs."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import numpy as np

from cafx.kernel.errors import CafxError

MARK = "result: "
LONG = 70_001
PROGRAM = """
import json
from cafx.kernel import registry
from cafx.conformance.kinds.ranks import *
ranks = registry().load("communicator", {name!r})()
found = {work}
print({mark!r} + json.dumps(found), flush=True)
ranks.close()
"""


def program_of(name: str, work: str) -> str:
    """The program of a rank, which prints the value of an expression."""
    return PROGRAM.format(name=name, work=work, mark=MARK)


def results_of(output: str) -> list[Any]:
    """The values that ranks have printed."""
    decoder = json.JSONDecoder()
    return [decoder.raw_decode(part)[0] for part in output.split(MARK)[1:]]


def part(rank: int) -> Any:
    """The array of a rank that is summed: whole numbers, so that the sum is exact in any order."""
    return np.random.default_rng(rank).integers(-9, 10, LONG).astype(np.float32)


def parts(size: int) -> list[Any]:
    """The arrays of all ranks."""
    return [part(rank) for rank in range(size)]


def digest(values: Any) -> str:
    """A number for the bits of an array."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def exchanged(ranks: Any) -> dict[str, Any]:
    """Everything that ranks exchange, once.

    Args:
        ranks: the communicator.

    Returns:
        Digests of arrays, gathered texts, whether a barrier has waited, and whether an unknown compression is refused.
    """
    total, again, sent = (part(ranks.rank) for _ in range(3))
    rounded = np.random.default_rng(ranks.rank).normal(size=LONG).astype(np.float32)
    ranks.allreduce(total)
    wait = ranks.start_allreduce(again)
    wait()
    ranks.broadcast(sent)
    ranks.allreduce(rounded)
    gathered = ranks.gather(f"{ranks.rank}".encode() * ranks.rank * 1000)
    return {
        "rank": ranks.rank,
        "size": ranks.size,
        "allreduce": digest(total),
        "start_allreduce": digest(again),
        "broadcast": digest(sent),
        "rounded": digest(rounded),
        "gather": [each.decode() for each in gathered],
        "waited": waited(ranks),
        "refused": compressed(ranks),
    }


def waited(ranks: Any) -> bool:
    """Whether no rank leaves a barrier before the last one has come to it."""
    last = ranks.size - 1
    if ranks.rank == last:
        time.sleep(0.2)
    came = time.time()
    ranks.barrier()
    left = time.time()
    arrivals = [float(each) for each in ranks.gather(repr(came).encode())]
    return bool(left >= arrivals[last])


def aborted(ranks: Any) -> None:
    """Rank 1 aborts, while the others wait for it."""
    if ranks.rank == 1:
        ranks.abort(3)
    for _ in range(1000):
        ranks.barrier()


def died(ranks: Any) -> None:
    """Rank 1 dies without a word, while the others wait for it."""
    import os
    import signal

    if ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    for _ in range(1000):
        ranks.barrier()


def compressed(ranks: Any) -> bool:
    """Whether an unknown compression is refused."""
    try:
        ranks.compress_gradients("into nothing")
    except CafxError:
        return True
    return False
