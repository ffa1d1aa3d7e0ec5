"""``--keep``: removing older snapshots."""

from __future__ import annotations

from glob import escape
from pathlib import Path

from cafx.kernel import Solver, hookimpl

ENDINGS = ("caffemodel", "solverstate")


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
