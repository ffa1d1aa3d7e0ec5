"""metrics: loss, learning rate and test scores of every iteration as CSV or JSON lines."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import CafxError, Solver, hookimpl
from cafx_lib_scores import flatten

if TYPE_CHECKING:
    from cafx.conformance.kinds.monitor import MonitorCase

COLUMNS = ["iteration", "seconds", "loss", "lr"]
JSON_LINES = (".jsonl", ".ndjson", ".json")


class Metrics:
    """One row per iteration (iteration, seconds, loss, lr), and one row per test with its scores.

    A score is named ``test/NAME``, or ``test1/NAME`` for the second test net, and ``test/NAME[2]`` for
    one value of an array. A run that resumes from a snapshot appends to the file; any other overwrites it.

    Args:
        target: the file. One ending in .jsonl has one JSON object per line, any other is CSV.

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
        """Open the file; a resumed run appends to it if the columns are the same."""
        if self.file is not None:
            return
        self.columns = COLUMNS + _score_names(solver)
        append = solver.iter > 0 and (self._is_json() or self._header() == self.columns)
        self.file = _open(self.path, "a" if append else "w")
        if not append and not self._is_json():
            csv.writer(self.file).writerow(self.columns)

    @hookimpl
    def iteration_finished(self, solver: Solver, loss: float, rate: float) -> None:
        """Write loss and learning rate of the last iteration."""
        self._write({**self._when(solver.iter - 1), "loss": loss, "lr": _rounded(rate)})

    @hookimpl
    def test_finished(self, solver: Solver, index: int, scores: dict[str, Any]) -> None:
        """Write the scores of a test, which need not be part of a training."""
        self.training_started(solver)
        self._write({**self._when(solver.iter), **_named(index, scores)})

    @hookimpl
    def training_finished(self, solver: Solver) -> None:
        """Close the file; a training that goes on appends to it."""
        if self.file is not None:
            self.file.close()
            self.file = None

    @classmethod
    def cases(cls) -> Iterable[MonitorCase]:
        """Both formats, and what is refused."""
        from cafx.conformance.kinds.monitor import MonitorCase

        yield MonitorCase("csv", "{folder}/run.csv", files=["run.csv"])
        yield MonitorCase("json", "{folder}/run.jsonl", files=["run.jsonl"])
        yield MonitorCase("no-folder", "{folder}/missing/run.csv", error="cannot be written")

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
    """The columns of all test nets."""
    names: list[str] = []
    for index, net in enumerate(solver.test_nets):
        shapes = {name: np.zeros(net.blobs[name].shape) for name in net.outputs}
        if solver.options.test_compute_loss:
            shapes["(loss)"] = np.zeros(())
        names += _named(index, shapes)
    return names


def _named(index: int, scores: dict[str, Any]) -> dict[str, float]:
    """The scores of a test by column."""
    prefixed = {f"test{index or ''}/{name}": value for name, value in scores.items()}
    return dict(flatten(prefixed, "{name}[{index}]"))


def _rounded(rate: float) -> float:
    """A learning rate without the error of float32 options, in which 0.01 is 0.00999999978."""
    return float(f"{rate:.7g}")


def _open(path: Path, mode: str) -> IO[str]:
    try:
        return path.open(mode, newline="", encoding="utf-8")
    except OSError as error:
        raise CafxError(
            f"cannot be written: {error.strerror}", where=str(path), remedy="name a file in an existing folder"
        ) from None
