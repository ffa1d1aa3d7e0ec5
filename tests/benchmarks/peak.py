"""Peak memory of this process, for benchmarks under any interpreter."""

from __future__ import annotations

from pathlib import Path

STATUS = Path("/proc/self/status")
FIELD = "VmHWM:"


def peak_bytes() -> int:
    """The most resident memory this process has had, in bytes; 0 where the system does not report it.

    ``getrusage`` would report the peak of the parent process if that is larger.
    """
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(FIELD)), 0)
