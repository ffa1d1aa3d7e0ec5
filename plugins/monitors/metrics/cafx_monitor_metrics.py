"""metrics: every value of a training run in a file for programs, CSV or JSON lines."""

from __future__ import annotations

import csv
import json
import math
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

from cafx.kernel import CafxError, Solver, hookimpl

COLUMNS = ["iteration", "seconds", "loss", "lr"]
JSON_LINES = (".jsonl", ".ndjson", ".json")


class Metrics:
    """One row an iteration (iteration, seconds, loss, lr) and one a test (its scores).

    A score's name is ``test/NAME`` (``test1/NAME`` for the second test net; ``NAME[2]`` for a value
    of many). A file that ends in .jsonl holds one JSON object a line, any other is CSV. A run that
    goes on from a snapshot adds to the file; any other starts it anew.

    Args:
        target: the file.

    Raises:
        CafxError: the file cannot be written.
    """

    def __init__(self, target: str = "metrics.csv") -> None:
        self.path = Path(target)
        self.file: IO[str] | None = None
        self.columns: list[str] = []
        self.started = time.monotonic()
        _open(self.path, "a").close()

    @hookimpl
    def training_started(self, solver: Solver) -> None:
        """Open the file; a run that goes on adds to it where its columns are the same."""
        if self.file is not None:
            return
        self.columns = COLUMNS + _score_names(solver)
        goes_on = solver.iter > 0 and (self._is_json() or self._header() == self.columns)
        self.file = _open(self.path, "a" if goes_on else "w")
        if not goes_on and not self._is_json():
            csv.writer(self.file).writerow(self.columns)

    @hookimpl
    def iteration_finished(self, solver: Solver, loss: float, rate: float) -> None:
        """The loss and rate of the iteration just done."""
        self._write({**self._when(solver.iter - 1), "loss": loss, "lr": _short(rate)})

    @hookimpl
    def test_finished(self, solver: Solver, index: int, scores: dict[str, Any]) -> None:
        """A test's scores."""
        self._write({**self._when(solver.iter), **_named(index, scores)})

    @hookimpl
    def training_finished(self, solver: Solver) -> None:
        """Have it all on disk."""
        if self.file is not None:
            self.file.flush()

    def _when(self, iteration: int) -> dict[str, Any]:
        return {"iteration": iteration, "seconds": round(time.monotonic() - self.started, 3)}

    def _write(self, row: dict[str, Any]) -> None:
        assert self.file is not None, "training_started comes first"
        if self._is_json():
            known = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
            self.file.write(json.dumps(known) + "\n")
        else:
            csv.DictWriter(self.file, self.columns, extrasaction="ignore").writerow(row)
        self.file.flush()

    def _is_json(self) -> bool:
        return self.path.suffix in JSON_LINES

    def _header(self) -> list[str]:
        with self.path.open(newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])


def _score_names(solver: Solver) -> list[str]:
    names: list[str] = []
    for index, net in enumerate(solver.test_nets):
        shapes = {name: np.zeros(net.blobs[name].shape) for name in net.outputs}
        if solver.options.test_compute_loss:
            shapes["(loss)"] = np.zeros(())
        names += _named(index, shapes)
    return names


def _named(index: int, scores: dict[str, Any]) -> dict[str, float]:
    prefix = f"test{index or ''}"
    named = {}
    for name, value in scores.items():
        values = np.asarray(value).reshape(-1)
        for i, each in enumerate(values):
            named[f"{prefix}/{name}" + (f"[{i}]" if values.size > 1 else "")] = float(each)
    return named


def _short(rate: float) -> float:
    """A rate as a person wrote it: options are float32, in which 0.01 is 0.00999999978."""
    return float(f"{rate:.7g}")


def _open(path: Path, mode: str) -> IO[str]:
    try:
        return path.open(mode, newline="", encoding="utf-8")
    except OSError as error:
        raise CafxError(
            f"cannot be written: {error.strerror}", where=str(path),
            remedy="name a file in a folder that is there",
        ) from None  # fmt: skip
