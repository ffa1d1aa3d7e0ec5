"""Counts and times in Prometheus' text format."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Histogram:
    """How many observations were at most each bound.

    Args:
        bounds: the bounds, ascending.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str, text: str) -> list[str]:
        """In Prometheus' text format.

        Example:
            >>> histogram = Histogram([1, 2]); histogram.observe(2)
            >>> histogram.lines("x", "Sizes.")[2:4]
            ['x_bucket{le="1"} 0', 'x_bucket{le="2"} 1']
        """
        total, found = 0, [f"# HELP {name} {text}", f"# TYPE {name} histogram"]
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            total += count
            found.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*found, f"{name}_sum {self.sum:.6f}", f"{name}_count {total}"]


class Metrics:
    """What a server has done.

    Attributes:
        requests: number of requests by path and status.
        seconds: durations of answered requests for images.
        batches: inputs per pass of the net.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.seconds = Histogram(SECONDS)
        self.batches = Histogram(SIZES)
        self._lock = threading.Lock()

    def request(self, path: str, status: int) -> None:
        """Count a request."""
        with self._lock:
            self.requests[path, status] += 1

    def text(self, active: int) -> str:
        """All in Prometheus' text format.

        Args:
            active: number of requests in work.
        """
        lines = ["# HELP cafx_requests_total Requests by path and status.", "# TYPE cafx_requests_total counter"]
        with self._lock:
            counted = sorted(self.requests.items())
        lines += [f'cafx_requests_total{{path="{path}",status="{status}"}} {n}' for (path, status), n in counted]
        lines += ["# HELP cafx_requests_active Requests in work.", "# TYPE cafx_requests_active gauge"]
        lines += [f"cafx_requests_active {active}"]
        lines += self.seconds.lines("cafx_request_seconds", "Seconds from the start of a request to its answer.")
        lines += self.batches.lines("cafx_batch_images", "Inputs per pass of the net.")
        return "\n".join(lines) + "\n"
