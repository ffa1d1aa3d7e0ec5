"""log: a training log in Caffe's format, for Caffe's log parsers."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cafx.kernel import CafxError, Net, Solver, hookimpl
from cafx_lib_scores import flatten, format_weighted

if TYPE_CHECKING:
    from cafx.conformance.kinds.monitor import MonitorCase

SOLVER, RULE, NET = "solver.cpp:239", "sgd_solver.cpp:112", "net.cpp:594"
SNAPSHOT, STATE = "solver.cpp:464", "sgd_solver.cpp:284"
"""Source files and lines that Caffe's log names."""
STREAMS: dict[str, Callable[[], IO[str]]] = {"": lambda: sys.stderr, "-": lambda: sys.stdout}
"""Targets that are not files."""


class Log:
    """Writes the log of ``caffe train``: losses, outputs, learning rates, test scores, snapshots.

    Args:
        target: file to append to; empty for standard error, ``-`` for standard output.

    Raises:
        CafxError: the file cannot be written.
    """

    def __init__(self, target: str = "") -> None:
        self.name = target
        self.file = STREAMS[target]() if target in STREAMS else _open(target)
        self.started = False
        self.last_display = (0, time.monotonic())
        self.debug_info = _DebugInfoHandler(self)

    @hookimpl
    def training_started(self, solver: Solver) -> None:
        """Log the net and the learning rate policy; log parsers take this line's time as the start."""
        self.last_display = (solver.iter, time.monotonic())
        if self.started:
            return
        self.started = True
        logging.getLogger("cafx.net").addHandler(self.debug_info)
        self.line(SOLVER, f"Solving {solver.net.name}")
        self.line(SOLVER, f"Learning Rate Policy: {solver.options.lr_policy}")

    @hookimpl
    def iteration_finished(self, solver: Solver, loss: float, rate: float) -> None:
        """Every ``display`` iterations: log loss, speed, outputs and learning rate."""
        done, every = solver.iter - 1, solver.options.display
        if not every or done % every:
            return
        now = time.monotonic()
        seconds = now - self.last_display[1]
        speed = (done - self.last_display[0]) / (seconds or 1)
        self.last_display = (done, now)
        speed_text = f"{speed:g} iter/s, {seconds:g}s/{every} iters"
        self.line(SOLVER, f"Iteration {done} ({speed_text}), loss = {solver.smoothed_loss:g}")
        net = solver.net
        self._outputs("Train", net, {name: net.blobs[name].host() for name in net.outputs})
        self.line(RULE, f"Iteration {done}, lr = {rate:g}")

    @hookimpl
    def final_loss(self, solver: Solver, loss: float) -> None:
        """Log the loss after the last update."""
        self.line(SOLVER, f"Iteration {solver.iter}, loss = {solver.smoothed_loss:g}")

    @hookimpl
    def test_started(self, solver: Solver, index: int) -> None:
        """Log the test net and the iteration."""
        self.line(SOLVER, f"Iteration {solver.iter}, Testing net (#{index})")

    @hookimpl
    def test_finished(self, solver: Solver, index: int, scores: dict[str, Any]) -> None:
        """Log every score, numbered across all outputs."""
        if "(loss)" in scores:
            self.line(SOLVER, f"Test loss: {float(scores['(loss)']):g}")
        outputs = {name: value for name, value in scores.items() if name != "(loss)"}
        self._outputs("Test", solver.test_nets[index], outputs)

    @hookimpl
    def snapshot_saved(self, solver: Solver, weights: str, state: str) -> None:
        """Log the two files of a snapshot."""
        kind = "HDF5" if weights.endswith(".h5") else "binary proto"
        self.line(SNAPSHOT, f"Snapshotting to {kind} file {weights}")
        self.line(STATE, f"Snapshotting solver state to {kind} file {state}")

    @hookimpl
    def training_finished(self, solver: Solver) -> None:
        """Log how training ended, and close the file; a training that goes on opens it again."""
        logging.getLogger("cafx.net").removeHandler(self.debug_info)
        self.line(SOLVER, "Optimization stopped early." if solver.stopped else "Optimization Done.")
        if self.name not in STREAMS:
            self.file.close()

    def line(self, source: str, text: str) -> None:
        """Write one line: severity, date, time, thread, source and text."""
        now = datetime.now().astimezone()
        stamp = f"I{now:%m%d %H:%M:%S.%f} {threading.get_native_id():5d} {source}]"
        if self.file.closed and self.name not in STREAMS:
            self.file = _open(self.name)
        try:
            self.file.write(f"{stamp} {text}\n")
            self.file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise CafxError(f"cannot be written: {error.strerror}", where=self.name) from error

    @classmethod
    def cases(cls) -> Iterable[MonitorCase]:
        """A file, both streams, and what is refused."""
        from cafx.conformance.kinds.monitor import MonitorCase

        yield MonitorCase("file", "{folder}/run.log", files=["run.log"])
        yield MonitorCase("standard-error")
        yield MonitorCase("no-folder", "{folder}/missing/run.log", error="cannot be written")

    def _outputs(self, phase: str, net: Net, outputs: Mapping[str, Any]) -> None:
        loss_weights = net.loss_weights
        for number, (name, value) in enumerate(flatten(outputs)):
            text = format_weighted(name, value, loss_weights.get(name, 0.0))
            self.line(SOLVER, f"    {phase} net output #{number}: {text}")


class _DebugInfoHandler(logging.Handler):
    """Writes the records of debug_info to the log."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.INFO)
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self.log.line(NET, record.getMessage())


def _open(path: str) -> IO[str]:
    try:
        return Path(path).open("a", encoding="utf-8")
    except OSError as error:
        raise CafxError(
            f"cannot be written: {error.strerror}", where=path, remedy="name a file in an existing folder"
        ) from None
