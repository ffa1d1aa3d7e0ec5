"""tensorboard: a training run as event files, which ``tensorboard --logdir runs`` shows."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from cafx.kernel import CafxError, Solver, hookimpl

FLUSH_SECONDS = 10
BINS = np.concatenate([-(powers := 1e-12 * 1.1 ** np.arange(774))[::-1], [0], powers])
"""Where TensorFlow's histograms have their edges: powers of 1.1 from 1e-12 to 1e20."""


class TensorBoard:
    """Scalars ``train/loss``, ``train/lr`` and ``test/NAME``; a histogram a parameter with each snapshot.

    Scores of the second test net are ``test1/NAME``; those of a blob of many values
    ``test/NAME/2``. A run that goes on from a snapshot hides what was written beyond it.

    Args:
        target: the folder, one a run.

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
                f"cannot be written: {error.strerror}", where=target, remedy="name a folder that can be made"
            ) from None

    @hookimpl
    def training_started(self, solver: Solver) -> None:
        """Begin an event file; no thread writes it, so that a full disk is told here and not elsewhere."""
        if self.writer is None:
            self.writer = EventsWriter(str(Path(self.folder) / "events"), f".{os.getpid()}")
            if solver.iter:
                self._write(solver.iter + 1, session_log=SessionLog(status=SessionLog.START))

    @hookimpl
    def iteration_finished(self, solver: Solver, loss: float, rate: float) -> None:
        """Loss and rate, at the number of iterations done."""
        self._scalar("train/loss", loss, solver.iter)
        self._scalar("train/lr", rate, solver.iter)

    @hookimpl
    def test_finished(self, solver: Solver, index: int, scores: dict[str, Any]) -> None:
        """A test's scores."""
        for name, value in scores.items():
            values = np.asarray(value).reshape(-1)
            for number, each in enumerate(values):
                tag = f"test{index or ''}/{name}" + (f"/{number}" if values.size > 1 else "")
                self._scalar(tag, float(each), solver.iter)

    @hookimpl
    def snapshot_saved(self, solver: Solver, weights: str, state: str) -> None:
        """How each parameter's values are spread."""
        for layer in solver.net.layers:
            for index, blob in enumerate(layer.blobs):
                if blob.count_:
                    spread = summary.histogram(f"{layer.name}/{index}", blob.host(), BINS)
                    self._write(solver.iter, summary=spread)

    @hookimpl
    def training_finished(self, solver: Solver) -> None:
        """Have it all on disk."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _scalar(self, tag: str, value: float, iteration: int) -> None:
        self._write(iteration, summary=summary.scalar(tag, value))

    def _write(self, iteration: int, **what: Any) -> None:
        """One event; what was written is on disk some seconds later."""
        assert self.writer is not None, "training_started comes first"
        self.writer.write_event(Event(wall_time=time.time(), step=iteration, **what))
        if time.monotonic() - self.flushed > FLUSH_SECONDS:
            self.writer.flush()
            self.flushed = time.monotonic()
