"""tensorboard: a training run as event files for ``tensorboard --logdir runs``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from cafx.kernel import CafxError, Solver, hookimpl
from cafx_lib_scores import flatten

if TYPE_CHECKING:
    from cafx.conformance.kinds.monitor import MonitorCase

FLUSH_SECONDS = 10
BINS = np.concatenate([-(powers := 1e-12 * 1.1 ** np.arange(774))[::-1], [0], powers])
"""Edges of TensorFlow's histograms: powers of 1.1 from 1e-12 to 1e20, of both signs."""


class TensorBoard:
    """Scalars ``train/loss``, ``train/lr`` and ``test/NAME``; with each snapshot, one histogram per parameter.

    Scores of the second test net are named ``test1/NAME``, values of an array ``test/NAME/2``. A run
    that resumes from a snapshot hides events that were written after it.

    Args:
        target: the folder, one per run.

    Raises:
        CafxError: the folder cannot be written.
    """

    def __init__(self, target: str = "runs") -> None:
        self.folder = target
        self.writer: EventsWriter | None = None
        self.flushed = 0.0
        try:
            Path(target).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CafxError(
                f"cannot be written: {error.strerror}", where=target, remedy="name a folder that can be created"
            ) from None

    @hookimpl
    def training_started(self, solver: Solver) -> None:
        """Open an event file. It is written without a thread, so that a full disk raises an error here."""
        if self.writer is None:
            self.writer = EventsWriter(str(Path(self.folder) / "events"), f".{os.getpid()}.{time.time_ns()}")
            if solver.iter:
                self._write(solver.iter + 1, session_log=SessionLog(status=SessionLog.START))

    @hookimpl
    def iteration_finished(self, solver: Solver, loss: float, rate: float) -> None:
        """Write loss and learning rate at the number of completed iterations."""
        self._scalar("train/loss", loss, solver.iter)
        self._scalar("train/lr", rate, solver.iter)

    @hookimpl
    def test_finished(self, solver: Solver, index: int, scores: dict[str, Any]) -> None:
        """Write the scores of a test, which need not be part of a training."""
        self.training_started(solver)
        for name, value in flatten(scores, "{name}/{index}"):
            self._scalar(f"test{index or ''}/{name}", value, solver.iter)

    @hookimpl
    def snapshot_saved(self, solver: Solver, weights: str, state: str) -> None:
        """Write a histogram of each parameter."""
        self.training_started(solver)
        for layer in solver.net.layers:
            for index, blob in enumerate(layer.blobs):
                if blob.count_:
                    histogram = summary.histogram(f"{layer.name}/{index}", blob.host(), BINS)
                    self._write(solver.iter, summary=histogram)

    @hookimpl
    def training_finished(self, solver: Solver) -> None:
        """Flush and close the event file."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    @classmethod
    def cases(cls) -> Iterable[MonitorCase]:
        """A folder, and what is refused."""
        from cafx.conformance.kinds.monitor import MonitorCase

        yield MonitorCase("folder", "{folder}/runs", files=["runs/events.*"])
        yield MonitorCase("no-folder", "/dev/null/runs", error="cannot be written")

    def _scalar(self, tag: str, value: float, iteration: int) -> None:
        self._write(iteration, summary=summary.scalar(tag, value))

    def _write(self, iteration: int, **content: Any) -> None:
        """Write one event; it is flushed after at most `FLUSH_SECONDS` seconds of further events."""
        assert self.writer is not None, "training_started comes first"
        self.writer.write_event(Event(wall_time=time.time(), step=iteration, **content))
        if time.monotonic() - self.flushed > FLUSH_SECONDS:
            self.writer.flush()
            self.flushed = time.monotonic()
