"""``--keep``: removing older snapshots."""

from __future__ import annotations

from glob import escape
from pathlib import Path
from typing import Any

from cafx.kernel import Solver, hookimpl
from cafx.kernel.training import prefix_of

ENDINGS = ("caffemodel", "solverstate")


def newest_state(options: Any, source: str) -> str | None:
    """The newest complete snapshot of a solver, or None: that of the highest iteration whose weights are there.

    Args:
        options: the SolverParameter.
        source: path of its file.
    """
    for _, paths in sorted(_snapshots(_stem(prefix_of(options, Path(source)))).items(), reverse=True):
        names = {path.name for path in paths}
        for path in paths:
            weights = path.name.replace(".solverstate", ".caffemodel")
            if weights != path.name and weights in names:
                return str(path)
    return None


def _stem(prefix: Path) -> Path:
    """What the names of a solver's snapshots begin with, up to the iteration."""
    return Path(f"{prefix}_iter_")


def _snapshots(stem: Path) -> dict[int, list[Path]]:
    """The files of a solver's snapshots, by iteration."""
    snapshots: dict[int, list[Path]] = {}
    for path in stem.parent.glob(f"{escape(stem.name)}*"):
        number, _, ending = path.name.removeprefix(stem.name).partition(".")
        if number.isdigit() and ending.removesuffix(".h5") in ENDINGS:
            snapshots.setdefault(int(number), []).append(path)
    return snapshots


class SnapshotPruner:
    """A monitor that keeps only the newest snapshots with the solver's prefix, of earlier runs too.

    Temporary files of a run that was killed while writing a snapshot are removed as well.

    Args:
        keep: number of snapshots to keep.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep

    @hookimpl
    def snapshot_saved(self, solver: Solver, weights: str, state: str) -> None:
        """Remove older snapshots, now that a newer one is complete."""
        prefix = _stem(solver.prefix)
        snapshots = _snapshots(prefix)
        iterations = sorted(iteration for iteration in snapshots if iteration <= solver.iter)
        for iteration in iterations[: -self.keep]:
            for path in sorted(snapshots[iteration], reverse=True):  # the state first: it names the weights
                path.unlink(missing_ok=True)
        for path in prefix.parent.glob(f".{escape(prefix.name)}*.part"):
            path.unlink(missing_ok=True)
