"""Timer: Caffe's stopwatch."""

from __future__ import annotations

import time


class Timer:
    """Measures the time between `start` and `stop`.

    Example:
        >>> timer = Timer()
        >>> timer.start()
        >>> timer.stop()
        >>> timer.ms >= 0
        True
    """

    def __init__(self) -> None:
        self._started: float | None = None
        self._seconds = 0.0

    def start(self) -> None:
        """Start; a running timer continues."""
        if self._started is None:
            self._started = time.perf_counter()

    def stop(self) -> None:
        """Stop; a stopped timer keeps its time."""
        if self._started is not None:
            self._seconds = time.perf_counter() - self._started
            self._started = None

    @property
    def ms(self) -> float:
        """Milliseconds between `start` and `stop`; stops a running timer."""
        self.stop()
        return self._seconds * 1000
