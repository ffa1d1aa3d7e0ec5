"""Non-maximum suppression against a plain loop over kept boxes: time and ratio.

    uv run python tests/benchmarks/suppression.py

Both suppress the same boxes, scattered around random centres, and must keep the same ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx_lib_boxes import overlaps, suppress

REPEATS = 5
CASES = ((400, 100, 0.45, -1), (12_000, 6000, 0.7, 2000), (100_000, 100, 0.45, 200), (100_000, 200, 0.45, -1))
"""Numbers of boxes and centres, the threshold, and the limit of kept boxes."""


def scattered(count: int, centres: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Boxes and scores."""
    rng = np.random.default_rng(0)
    own = rng.integers(0, centres, count)
    centre = rng.random((centres, 2))[own] + rng.normal(0, 0.01, (count, 2))
    size = rng.uniform(0.05, 0.3, (centres, 2))[own] * np.exp(rng.normal(0, 0.02, (count, 2)))
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    return boxes.astype(np.float32), rng.random(count).astype(np.float32)


def plain(boxes: npt.NDArray[Any], scores: npt.NDArray[Any], threshold: float, limit: int) -> list[int]:
    """Compare each kept box with all that are left."""
    left, kept = np.argsort(-scores, kind="stable"), []
    while len(left) and len(kept) != limit:
        kept.append(int(left[0]))
        left = left[1:][overlaps(boxes[left[:1]], boxes[left[1:]])[0] <= np.float32(threshold)]
    return kept


def best(run: Callable[[], Any]) -> float:
    """The shortest of some runs, in milliseconds."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def main() -> None:
    """Print a table."""
    print(f"{'boxes':>8} {'kept':>6} {'suppress':>12} {'plain loop':>12} {'ratio':>7}")
    for count, centres, threshold, limit in CASES:
        boxes, scores = scattered(count, centres)
        kept = suppress(boxes, scores, threshold, limit=limit).tolist()
        assert kept == plain(boxes, scores, threshold, limit)
        ours = best(lambda: suppress(boxes, scores, threshold, limit=limit))  # noqa: B023
        loop = best(lambda: plain(boxes, scores, threshold, limit))  # noqa: B023
        print(f"{count:8} {len(kept):6} {ours:9.2f} ms {loop:9.2f} ms {loop / ours:7.1f}")


if __name__ == "__main__":
    main()
