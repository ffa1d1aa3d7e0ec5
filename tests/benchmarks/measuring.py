"""Measure one process, for benchmarks under any interpreter: peak memory, and iterations on request."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")
FIELD = "VmHWM:"
WARM_UP = 3


def peak_bytes() -> int:
    """The most resident memory this process has had, in bytes; 0 where the system does not report it.

    ``getrusage`` would report the peak of the parent process if that is larger.
    """
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(FIELD)), 0)


def serve(step: Callable[[], Any]) -> None:
    """Warm up, then run as many iterations as each line of standard input says.

    The answers are lines of JSON: ``{"ready": true}``, then the seconds of each iteration and the peak memory.
    """
    for _ in range(WARM_UP):
        step()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        print(json.dumps({"seconds": seconds, "peak": peak_bytes()}), flush=True)
