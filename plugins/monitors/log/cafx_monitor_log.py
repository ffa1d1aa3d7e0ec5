"""log: a training log in the format Caffe's tools write, so that their log parsers read it."""

from __future__ import annotations

import logging
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import numpy as np

from cafx.kernel import CafxError, Solver, hookimpl

SOLVER, RULE, NET = "solver.cpp:239", "sgd_solver.cpp:112", "net.cpp:594"


class Log:
    """Writes what ``caffe train`` logs: losses, outputs, rates, test scores, snapshots.

    Args:
        target: the file, which is added to; without one, standard error.

    Raises:
        CafxError: the file cannot be written.
    """

    def __init__(self, target: str = "") -> None:
        self.name = target
        self.file = _open(target) if target else sys.stderr
        self.begun = False
        self.last = (0, time.monotonic())
        self.blobs = _Blobs(self)

    @hookimpl
    def training_started(self, solver: Solver) -> None:
        """Name the net and the policy: parsers take the time of this line for the start."""
        self.last = (solver.iter, time.monotonic())
        if self.begun:
            return
        self.begun = True
        logging.getLogger("cafx.net").addHandler(self.blobs)
        self.line(SOLVER, f"Solving {solver.net.name}")
        self.line(SOLVER, f"Learning Rate Policy: {solver.options.lr_policy}")

    @hookimpl
    def iteration_finished(self, solver: Solver, loss: float, rate: float) -> None:
        """Every ``display`` iterations: loss, speed, outputs and rate."""
        done, every = solver.iter - 1, solver.options.display
        if not every or done % every:
            return
        now = time.monotonic()
        seconds = now - self.last[1]
        speed = (done - self.last[0]) / (seconds or 1)
        self.last = (done, now)
        self.line(
            SOLVER, f"Iteration {done} ({speed:g} iter/s, {seconds:g}s/{every} iters), loss = {solver.smoothed_loss:g}"
        )
        self._outputs(solver)
        self.line(RULE, f"Iteration {done}, lr = {rate:g}")

    @hookimpl
    def final_loss(self, solver: Solver, loss: float) -> None:
        """After the last update, its loss."""
        self.line(SOLVER, f"Iteration {solver.iter}, loss = {solver.smoothed_loss:g}")

    @hookimpl
    def test_started(self, solver: Solver, index: int) -> None:
        """Which net is tested, and when."""
        self.line(SOLVER, f"Iteration {solver.iter}, Testing net (#{index})")

    @hookimpl
    def test_finished(self, solver: Solver, index: int, scores: dict[str, Any]) -> None:
        """Each score, numbered over all values of all outputs."""
        if "(loss)" in scores:
            self.line(SOLVER, f"Test loss: {float(scores['(loss)']):g}")
        weights = _weights(solver.test_nets[index])
        named = {name: value for name, value in scores.items() if name != "(loss)"}
        for number, (name, value) in enumerate(_flat(named)):
            self.line(SOLVER, f"    Test net output #{number}: {name} = {value:g}{_share(weights[name], value)}")

    @hookimpl
    def snapshot_saved(self, solver: Solver, weights: str, state: str) -> None:
        """The two files of a snapshot."""
        kind = "HDF5" if weights.endswith(".h5") else "binary proto"
        self.line("solver.cpp:464", f"Snapshotting to {kind} file {weights}")
        self.line("sgd_solver.cpp:284", f"Snapshotting solver state to {kind} file {state}")

    @hookimpl
    def training_finished(self, solver: Solver) -> None:
        """How it ended."""
        logging.getLogger("cafx.net").removeHandler(self.blobs)
        self.line(SOLVER, "Optimization stopped early." if solver.stopped else "Optimization Done.")

    def line(self, source: str, text: str) -> None:
        """One line: severity and date, time, thread, source, text."""
        now = datetime.now().astimezone()
        stamp = f"I{now:%m%d %H:%M:%S.%f} {threading.get_native_id():5d} {source}]"
        try:
            self.file.write(f"{stamp} {text}\n")
            self.file.flush()
        except OSError as error:
            raise CafxError(f"cannot be written: {error.strerror}", where=self.name) from error

    def _outputs(self, solver: Solver) -> None:
        net = solver.net
        weights = _weights(net)
        values = {name: net.blobs[name].host() for name in net.outputs}
        for number, (name, value) in enumerate(_flat(values)):
            self.line(SOLVER, f"    Train net output #{number}: {name} = {value:g}{_share(weights[name], value)}")


class _Blobs(logging.Handler):
    """Takes debug_info's lines into the log."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.INFO)
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One line of debug_info."""
        self.log.line(NET, record.getMessage())


def _flat(outputs: dict[str, Any]) -> list[tuple[str, float]]:
    return [(name, float(x)) for name, value in outputs.items() for x in np.asarray(value).reshape(-1)]


def _weights(net: Any) -> dict[str, float]:
    """What each blob counts in the objective."""
    return net.loss_weights | dict.fromkeys(net.inputs, 0.0)


def _share(weight: float, value: float) -> str:
    return f" (* {weight:g} = {weight * value:g} loss)" if weight else ""


def _open(path: str) -> IO[str]:
    try:
        return Path(path).open("a", encoding="utf-8")
    except OSError as error:
        raise CafxError(
            f"cannot be written: {error.strerror}", where=path, remedy="name a file in a folder that is there"
        ) from None
