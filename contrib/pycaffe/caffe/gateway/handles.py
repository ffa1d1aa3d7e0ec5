"""The nets and solvers of a client, by number."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TypeVar

from caffe.net import Net
from caffe.solvers import Solver
from cafx.kernel import CafxError
from cafx.kernel import Solver as KernelSolver

Found = TypeVar("Found", Net, Solver)
FIRST_BITS = 48
"""Numbers begin at a random one of so many bits: a number from another process is not taken for one of this."""


class StaleError(CafxError):
    """A net or solver that no longer exists."""


class InterruptedByUserError(CafxError):
    """The user has interrupted a call."""


class Handles:
    """The nets and solvers that a client has created, and the solver that is running.

    Example:
        >>> handles = Handles()
        >>> handles.reset()
        >>> handles.net(1)
        Traceback (most recent call last):
        caffe.gateway.handles.StaleError: this net no longer exists; ...
    """

    def __init__(self) -> None:
        self._objects: dict[int, Net | Solver] = {}
        self._next = secrets.randbits(FIRST_BITS)
        self._running: KernelSolver | None = None

    def add(self, created: Net | Solver) -> int:
        """Keep a net or solver and return its number."""
        self._next += 1
        self._objects[self._next] = created
        return self._next

    def net(self, number: int) -> Net:
        """The net of this number.

        Raises:
            StaleError: there is none.
        """
        return self._find(number, Net, "net")

    def solver(self, number: int) -> Solver:
        """The solver of this number.

        Raises:
            StaleError: there is none.
        """
        return self._find(number, Solver, "solver")

    def reset(self) -> None:
        """Forget all nets and solvers."""
        self._objects.clear()

    def run(self, solver: Solver, train: Callable[[], None]) -> None:
        """Call ``train``, which runs iterations of the solver until `interrupt` stops it.

        Raises:
            InterruptedByUserError: it did.
        """
        self._running = solver._solver
        try:
            train()
            stopped = self._running.stopped
        finally:
            self._running = None
        if stopped:
            raise InterruptedByUserError(f"interrupted after iteration {solver.iter}")

    def interrupt(self) -> None:
        """Stop what is running: a solver after the present iteration; anything else, and a solver the second time, now.

        Raises:
            KeyboardInterrupt: now.
        """
        if self._running is None or self._running.stopped:
            raise KeyboardInterrupt
        self._running.stopped = True

    def _find(self, number: int, kind: type[Found], what: str) -> Found:
        found = self._objects.get(number)
        if not isinstance(found, kind):
            remedy = "caffe.reset_all removes all nets and solvers, as does the end of the Python process"
            raise StaleError(f"this {what} no longer exists", remedy=remedy)
        return found
