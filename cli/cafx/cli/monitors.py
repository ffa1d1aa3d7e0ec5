"""Monitor plugins of a training run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from cafx.kernel import CafxError, Solver, registry


def attach(solver: Solver, monitors: Iterable[str]) -> None:
    """Attach monitor plugins to a solver.

    Args:
        solver: the solver.
        monitors: ``NAME`` or ``NAME=TARGET`` each.

    Raises:
        CafxError: an unknown monitor, or one that cannot be created with that target.
    """
    for text in monitors:
        name, equals, target = text.partition("=")
        kind = registry().load("monitor", name)
        try:
            solver.monitors.add(kind(target) if equals else kind())
        except TypeError as error:
            remedy = f"try --monitor {name}" + ("" if equals else "=TARGET")
            raise CafxError(f"monitor '{name}' cannot be created: {error}", remedy=remedy) from error


@contextmanager
def finish_on_error(solver: Solver) -> Iterator[None]:
    """Call ``training_finished`` if an error ends training, so that monitors restore the terminal and close files."""
    try:
        yield
    except BaseException:
        solver.stopped = True
        solver.monitors.call("training_finished", solver=solver)
        raise
