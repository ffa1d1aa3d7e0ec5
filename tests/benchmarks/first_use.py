"""First use: seconds until something is on the screen, each in processes of their own.

uv run python tests/benchmarks/first_use.py

The first start of all compiles Python modules and kernels; it is shown by itself, with an empty cache of kernels.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from models import lenet

ROUNDS = 10
CAFX = (sys.executable, "-c", "from cafx.cli.main import main; main()")
SOLVER = 'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 1 display: 1 snapshot_after_train: false'
COMMANDS: dict[str, tuple[Sequence[str], str]] = {
    "python": ((sys.executable, "-c", "print(1)"), "1"),
    "import numpy": ((sys.executable, "-c", "import numpy; print(1)"), "1"),
    "import cafx.kernel": ((sys.executable, "-c", "import cafx.kernel; print(1)"), "1"),
    "cafx --help": ((*CAFX, "--help"), "Usage"),
    "cafx train, first iteration of LeNet": ((*CAFX, "train", "--solver", "solver.prototxt"), "iteration 1/1"),
}
"""Commands, and the first word of what is waited for."""


def seconds_until(words: str, command: Sequence[str], folder: str) -> float:
    """Seconds until a command has printed some words.

    Raises:
        SystemExit: it ends without.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begin, found, printed = time.perf_counter(), 0.0, []
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            printed.append(line)
            found = found or (time.perf_counter() - begin if words in line else 0.0)
    if not found:
        sys.exit(f"{' '.join(command)} has not printed {words!r}:\n{''.join(printed)}")
    return found


def main() -> None:
    """Print the first start, then medians of alternating ones."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "net.prototxt").write_text(str(lenet()))
        Path(folder, "solver.prototxt").write_text(SOLVER)
        os.environ["CAFX_CACHE"] = str(Path(folder, "cache"))
        times: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for _ in range(ROUNDS + 1):
            for name, (command, words) in COMMANDS.items():
                times[name].append(seconds_until(words, command, folder))
    for name, (first, *later) in times.items():
        print(f"{name}: {statistics.median(later):.3f} s (minimum {min(later):.3f}), at first {first:.3f} s")


if __name__ == "__main__":
    main()
