"""tensorboard: a training run as event files, which ``tensorboard --logdir runs`` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX import SummaryWriter

from cafx.kernel import CafxError, Solver, hookimpl


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
        self.writer: SummaryWriter | None = None
        try:
            Path(target).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CafxError(
                f"cannot be written: {error.strerror}", where=target, remedy="name a folder that can be made"
            ) from None

    @hookimpl
    def training_started(self, solver: Solver) -> None:
        """Begin an event file."""
        if self.writer is None:
            begun = solver.iter + 1 if solver.iter else None
            self.writer = SummaryWriter(logdir=self.folder, purge_step=begun)

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
        assert self.writer is not None, "training_started comes first"
        for layer in solver.net.layers:
            for index, blob in enumerate(layer.blobs):
                if blob.count_:
                    self.writer.add_histogram(f"{layer.name}/{index}", blob.host(), solver.iter)

    @hookimpl
    def training_finished(self, solver: Solver) -> None:
        """Have it all on disk."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _scalar(self, tag: str, value: float, iteration: int) -> None:
        assert self.writer is not None, "training_started comes first"
        self.writer.add_scalar(tag, value, iteration)
