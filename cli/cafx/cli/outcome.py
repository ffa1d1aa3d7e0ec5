"""The outcome of a training run: newest snapshot, last test scores, duration."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Solver, hookimpl
from cafx_lib_scores import format_values


class Outcome:
    """A monitor that remembers the newest snapshot and the last scores of each test net.

    Attributes:
        weights, state: paths of the newest snapshot; empty if there is none.
        scores: the last scores of each test net, by its index.
        seconds: duration of the run, set by the caller.
        first_iteration: the number of iterations that were done before the run.
    """

    def __init__(self) -> None:
        self.weights = ""
        self.state = ""
        self.seconds = 0.0
        self.scores: dict[int, dict[str, Any]] = {}
        self.first_iteration = 0
        self._snapshot_iteration = -1
        self._test_iteration = -1

    @hookimpl
    def training_started(self, solver: Solver) -> None:
        """Remember the first iteration."""
        self.first_iteration = solver.iter

    @hookimpl
    def snapshot_saved(self, solver: Solver, weights: str, state: str) -> None:
        """Remember the snapshot's files and iteration."""
        self.weights, self.state, self._snapshot_iteration = weights, state, solver.iter

    @hookimpl
    def test_finished(self, solver: Solver, index: int, scores: dict[str, Any]) -> None:
        """Remember the scores and their iteration."""
        self._test_iteration = solver.iter
        self.scores[index] = {name: value.tolist() for name, value in scores.items()}

    def is_current(self, solver: Solver) -> bool:
        """Whether the newest snapshot was taken at the current iteration."""
        return self._snapshot_iteration == solver.iter

    def progress_text(self, solver: Solver, finished: bool) -> str:
        """The number of iterations done, or for a resumed run their range."""
        first, last = self.first_iteration, solver.iter
        count = f"{last} iteration{'s' * (last != 1)}"
        if not first:
            return f"Trained {count}" if finished else f"Stopped after {count}"
        if finished and first == last:
            return (
                f"Nothing left to train: max_iter is {solver.options.max_iter}, and {count} {_were(last)} done already"
            )
        return f"{'Trained' if finished else 'Stopped; trained'} from iteration {first} to {last}"

    def scores_text(self, solver: Solver) -> str:
        """Loss and scores in one line, with the iteration of scores that are not the latest."""
        texts = [f"loss {solver.smoothed_loss:.4g}"] if solver.losses else []
        for index, scores in self.scores.items():
            net = "test" if len(self.scores) == 1 else f"test {index}"
            texts += [f"{net} {name} {format_values(value)}" for name, value in scores.items()]
        is_old = self.scores and self._test_iteration != solver.iter
        return ", ".join(texts) + (f" (at iteration {self._test_iteration})" if is_old else "")

    def summary(self, solver: Solver, finished: bool) -> dict[str, Any]:
        """The outcome as plain values, for ``--json``."""
        return {
            "finished": finished,
            "iterations": solver.iter,
            "seconds": round(self.seconds, 3),
            "loss": solver.smoothed_loss if solver.losses else None,
            "scores": [self.scores[index] for index in sorted(self.scores)],
            "weights": self.weights or None,
            "state": self.state or None,
            "engine": solver.net.engine.name,
            "seed": solver.net.context.streams.seed,
        }


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
