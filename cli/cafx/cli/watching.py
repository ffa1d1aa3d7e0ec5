"""Who listens to a training run: the monitors asked for, and the command line itself."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np

from cafx.kernel import CafxError, Solver, hookimpl, registry

MOST_SHOWN = 10


class Outcome:
    """What came of a run: the newest snapshot, and the last test scores."""

    def __init__(self) -> None:
        self.weights = ""
        self.state = ""
        self.iteration = -1
        self.seconds = 0.0
        self.scores: dict[int, dict[str, Any]] = {}
        self.tested = -1
        self.begun = 0

    @hookimpl
    def training_started(self, solver: Solver) -> None:
        """Remember where the run began."""
        self.begun = solver.iter

    @hookimpl
    def snapshot_saved(self, solver: Solver, weights: str, state: str) -> None:
        """Remember where it is."""
        self.weights, self.state, self.iteration = weights, state, solver.iter

    @hookimpl
    def test_finished(self, solver: Solver, index: int, scores: dict[str, Any]) -> None:
        """Remember the scores, and when they were so."""
        self.tested = solver.iter
        self.scores[index] = {name: value.tolist() for name, value in scores.items()}

    def is_current(self, solver: Solver) -> bool:
        """Whether the newest snapshot is of the present iteration."""
        return self.iteration == solver.iter

    def counted(self, solver: Solver, finished: bool) -> str:
        """How far the run came: of one that went on from a snapshot, from where."""
        count = f"{solver.iter} iteration{'s' * (solver.iter != 1)}"
        if not self.begun:
            return f"Trained {count}" if finished else f"Stopped after {count}"
        if finished and self.begun == solver.iter:
            return f"Nothing left to train ({count} done, max_iter {solver.options.max_iter})"
        return f"{'Trained on' if finished else 'Stopped on the way'} from iteration {self.begun} to {solver.iter}"

    def told(self, solver: Solver) -> str:
        """Loss and scores, where there are some, in one line; of older scores how old."""
        texts = [f"loss {solver.smoothed_loss:.4g}"] if solver.losses else []
        for index, scores in self.scores.items():
            net = "test" if len(self.scores) == 1 else f"test {index}"
            texts += [f"{net} {name} {_short(value)}" for name, value in scores.items()]
        older = self.scores and self.tested != solver.iter
        return ", ".join(texts) + (f" (at iteration {self.tested})" if older else "")

    def summary(self, solver: Solver, finished: bool) -> dict[str, Any]:
        """The same for a program."""
        return {
            "finished": finished, "iterations": solver.iter, "seconds": round(self.seconds, 3),
            "loss": solver.smoothed_loss if solver.losses else None,
            "scores": [self.scores[index] for index in sorted(self.scores)],
            "weights": self.weights or None, "state": self.state or None,
            "engine": solver.net.engine.name, "seed": solver.net.context.streams.seed,
        }  # fmt: skip


class Keeper:
    """Removes all but the newest snapshots this run wrote, and those of the same name before it.

    Drafts too, which a run that was killed while it wrote a snapshot has left.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep

    @hookimpl
    def snapshot_saved(self, solver: Solver, weights: str, state: str) -> None:
        """Prune, now that a newer one is whole."""
        prefix = Path(f"{solver.prefix}_iter_")
        found: dict[int, list[Path]] = {}
        for path in prefix.parent.glob(f"{escape(prefix.name)}*"):
            number, _, ending = path.name.removeprefix(prefix.name).partition(".")
            if number.isdigit() and ending.removesuffix(".h5") in ("caffemodel", "solverstate"):
                found.setdefault(int(number), []).append(path)
        done = sorted(iteration for iteration in found if iteration <= solver.iter)
        for iteration in done[: -self.keep]:
            for path in sorted(found[iteration], reverse=True):  # the state first: it names the weights
                path.unlink(missing_ok=True)
        for path in prefix.parent.glob(f".{escape(prefix.name)}*.part"):
            path.unlink(missing_ok=True)


def attach(solver: Solver, asked: list[str]) -> None:
    """Let the monitors named (``NAME`` or ``NAME=TARGET``) listen to ``solver``."""
    for text in asked:
        name, equals, target = text.partition("=")
        kind = registry().load("monitor", name)
        try:
            solver.monitors.add(kind(target) if equals else kind())
        except TypeError as error:
            raise CafxError(
                f"monitor '{name}' cannot be made: {error}",
                remedy=f"try --monitor {name}" + ("" if equals else "=TARGET"),
            ) from error


@contextmanager
def monitors_told(solver: Solver) -> Iterator[None]:
    """Tell the monitors of an end that came by an error, so that they leave terminal and files tidy."""
    try:
        yield
    except BaseException:
        solver.stopped = True
        solver.monitors.call("training_finished", solver=solver)
        raise


def warnings_to_stderr() -> None:
    """What the kernel and plugins log as a warning or worse is one line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    log = logging.getLogger("cafx")
    if not log.handlers:
        log.addHandler(handler)


def _short(value: Any) -> str:
    """A number, or the first few of several."""
    if not isinstance(value, list):
        return f"{value:.4g}"
    values = np.asarray(value).reshape(-1)
    more = [f"… {values.size:,} values"] if values.size > MOST_SHOWN else []
    return "[" + ", ".join([*(f"{each:.4g}" for each in values[:MOST_SHOWN]), *more]) + "]"
