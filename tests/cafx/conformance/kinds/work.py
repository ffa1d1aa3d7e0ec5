"""Functions that an executor runs when it is checked; workers find them by the name of this module."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cafx.kernel import CafxError

DEADLY = "end this worker"
EXIT_CODE = 7


def marked(task: Any, hold: Any) -> tuple[Any, int, int]:
    """The task, the process that runs it, and the process in which its worker began; some tasks end the process."""
    if task == DEADLY:
        os._exit(EXIT_CODE)
    time.sleep(0.02)
    return task, os.getpid(), hold.get(os.getpid)


def long(task: Any, hold: Any) -> int:
    """Tell which process runs, or work for a long time."""
    if task:
        time.sleep(600)
    return os.getpid()


def slice_to_file(records: Sequence[int], out: Path, hold: Any, *, refuse: str) -> Any:
    """Write a slice of a job; one slice is refused while the file ``refuse`` exists."""
    from cafx_lib_jobs.task import Report

    if 1 in records and Path(refuse).exists():
        raise CafxError("cannot be read", where="record 1")
    out.write_text(" ".join(map(str, records)))
    return Report(len(records))
