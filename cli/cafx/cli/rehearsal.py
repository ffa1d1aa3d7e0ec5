"""``cafx train --dry-run``: everything that a training run does, once, in a temporary folder."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from cafx.cli.net import size_text
from cafx.kernel import CafxError, Solver
from cafx.kernel.files import shown
from cafx.kernel.training import prefix_of
from cafx_lib_scores import format_values


@attrs.frozen
class Rehearsal:
    """What a dry run has found.

    Attributes:
        net, engine: names.
        iteration: the iteration that was run.
        loss: its loss.
        seconds: its duration, the first of a run, in which engines compile.
        scores: the scores of one batch per test net.
        prefix: of the snapshots of the run itself.
        size: bytes of a snapshot.
        free: bytes that are free where snapshots will be written.
        snapshots: how many the run will write.
        memory: bytes in use while passes of the training net run.
    """

    net: str
    engine: str
    iteration: int
    loss: float
    seconds: float
    scores: list[dict[str, Any]]
    prefix: str
    size: int
    free: int
    snapshots: int
    memory: int

    def summary(self) -> dict[str, Any]:
        """All values, for ``--json``."""
        return {"dry_run": True, **attrs.asdict(self), "loss": self.loss if np.isfinite(self.loss) else None}

    def text(self) -> str:
        """What worked, a line each."""
        tests = [f"{name} {format_values(value)}" for scores in self.scores for name, value in scores.items()]
        number = f"{len(self.scores)} test net{'s' * (len(self.scores) != 1)}"
        writes = f"{self.snapshots} snapshot{'s' * (self.snapshots != 1)}"
        return "\n".join(
            [
                f"Dry run of {self.net}, engine {self.engine}",
                f"  iteration  {self.iteration}: loss {self.loss:.4g}, {self.seconds:.2f} s with compilation, "
                f"{size_text(self.memory)} of memory",
                f"  tests      one batch for {number}: {', '.join(tests)}" if tests else "  tests      none",
                f"  snapshot   written to a temporary folder, restored and removed: {size_text(self.size)}",
                f"  disk       {self.prefix}_iter_*: {writes}, {size_text(self.size * self.snapshots)}; "
                f"{size_text(self.free)} free",
                "Nothing was kept. Without --dry-run, this command trains.",
            ]
        )


def rehearsed(
    options: Any, path: str, resume: str | None, settings: dict[str, Any], report: Callable[[Solver], None]
) -> Rehearsal:
    """Run one iteration, one batch per test net and one snapshot, which is restored.

    Args:
        options: the SolverParameter.
        path: its file.
        resume: a solverstate to resume from; None to begin.
        settings: keywords of `cafx.kernel.Solver`.
        report: what tells of weights that were loaded.

    Raises:
        CafxError: as training would.
    """
    prefix, short = prefix_of(options, Path(path)), _shortened(options)
    free = _free(prefix, path)
    with (
        tempfile.TemporaryDirectory(prefix="cafx-dry-run-") as folder,
        Solver(short, path, keep="outputs", **settings) as solver,
    ):
        solver.prefix = Path(folder) / "snapshot"
        report(solver)
        if resume:
            solver.restore(resume)
        began = time.perf_counter()
        loss = solver.step()
        seconds = time.perf_counter() - began
        scores = [{name: value.tolist() for name, value in each.items()} for each in solver.test_all()]
        size = _snapshot(solver)
        return Rehearsal(
            net=solver.net.name or path,
            engine=solver.net.engine.name,
            iteration=solver.iter - 1,
            loss=loss,
            seconds=seconds,
            scores=scores,
            prefix=str(prefix),
            size=size,
            free=free,
            snapshots=_count(options, solver.iter - 1),
            memory=solver.net.program.nbytes,
        )


def _shortened(options: Any) -> Any:
    """The options for one iteration and one batch per test net."""
    short = type(options)()
    short.CopyFrom(options)
    short.test_initialization = False
    short.snapshot = 0
    short.test_iter[:] = [1] * len(options.test_iter)
    return short


def _snapshot(solver: Solver) -> int:
    """Write and restore a snapshot, and return its size; one of several processes does not restore it."""
    files = solver.snapshot()
    if solver.replicas.communicator.size > 1:
        return sum(file.stat().st_size for file in files if file.exists())
    solver.restore(files[1])
    return sum(file.stat().st_size for file in files)


def _count(options: Any, done: int) -> int:
    """How many snapshots training writes from an iteration on."""
    last, every = max(options.max_iter, done), options.snapshot
    regular = last // every - done // every if every else 0
    return regular + bool(options.snapshot_after_train and not (every and last % every == 0))


def _free(prefix: Path, path: str) -> int:
    """The bytes that are free where snapshots will be written; missing folders are not made."""
    folder = next((each for each in prefix.absolute().parents if each.exists()), Path("/"))
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        remedy = "set snapshot_prefix to a path in a folder that can be written"
        raise CafxError(f"snapshots cannot be written to '{shown(prefix.parent)}'", where=path, remedy=remedy)
    return shutil.disk_usage(folder).free
