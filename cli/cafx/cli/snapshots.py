"""``--keep``: removing older snapshots."""

from __future__ import annotations

from glob import escape
from pathlib import Path
from typing import Any

from cafx.kernel import Solver, hookimpl
from cafx.kernel.training import prefix_of

ENDINGS = ("caffemodel", "solverstate")
AUTO = "auto"
"""In place of a state: the newest one."""


def newest_state(options: Any, source: str) -> str | None:
    """The newest complete snapshot of a solver, or None: that of the highest iteration whose weights are there.

    Args:
        options: the SolverParameter.
        source: path of its file.
    """
    prefix = Path(f"{prefix_of(options, Path(source))}_iter_")
    found: dict[int, Path] = {}
    for path in prefix.parent.glob(f"{escape(prefix.name)}*.solverstate*"):
        number, _, ending = path.name.removeprefix(prefix.name).partition(".")
        weights = path.with_name(path.name.replace(".solverstate", ".caffemodel"))
        if number.isdigit() and ending.removesuffix(".h5") == ENDINGS[1] and weights.is_file():
            found[int(number)] = path
    return str(found[max(found)]) if found else None


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
        prefix = Path(f"{solver.prefix}_iter_")
        snapshots: dict[int, list[Path]] = {}
        for path in prefix.parent.glob(f"{escape(prefix.name)}*"):
            number, _, ending = path.name.removeprefix(prefix.name).partition(".")
            if number.isdigit() and ending.removesuffix(".h5") in ENDINGS:
                snapshots.setdefault(int(number), []).append(path)
        iterations = sorted(iteration for iteration in snapshots if iteration <= solver.iter)
        for iteration in iterations[: -self.keep]:
            for path in sorted(snapshots[iteration], reverse=True):  # the state first: it names the weights
                path.unlink(missing_ok=True)
        for path in prefix.parent.glob(f".{escape(prefix.name)}*.part"):
            path.unlink(missing_ok=True)
