"""Solvers: pycaffe's classes over the kernel's loop."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

from caffe.blob import ledger
from caffe.modes import process
from caffe.net import Net
from cafx.kernel import Solver as KernelSolver
from cafx.kernel import registry
from cafx.kernel.training import read_solver


class _WatchedSolver(KernelSolver):
    """The kernel's solver with callbacks at the start of an iteration and before the update."""

    on_start: list[Callable[[], Any]]
    on_gradients_ready: list[Callable[[], Any]]

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.on_start, self.on_gradients_ready = [], []
        update, run = self.update, self.update.run

        def watched(rate: float, iteration: int) -> None:
            for callback in self.on_gradients_ready:
                callback()
            run(rate, iteration)

        update.run = watched  # type: ignore[method-assign]

    def iterate(self) -> Any:
        """One iteration, after the callbacks of its start."""
        for callback in self.on_start:
            callback()
        return super().iterate()


class Solver:
    """A solver, made from a solver prototxt; its type is the file's.

    Like Caffe's, it goes on when the loss is not finite.

    Attributes:
        net, test_nets: the nets.
    """

    solver_type: ClassVar[str | None] = None

    def __init__(self, solver_file: str | PathLike[str]) -> None:
        options = read_solver(Path(solver_file), registry())
        if self.solver_type:
            options.ClearField("solver_type")
            options.type = self.solver_type
        seed = None if options.random_seed >= 0 else process.seed
        self._solver = _WatchedSolver(
            options, Path(solver_file), engine=process.engine, seed=seed, keep_tests="all", allow_nan=True
        )
        self.net = Net.over(self._solver.net)
        self.test_nets = [Net.over(net) for net in self._solver.test_nets]

    iter = property(lambda self: self._solver.iter, doc="Iterations done.")
    param = property(lambda self: self._solver.options, doc="The SolverParameter.")

    def step(self, iterations: int = 1) -> None:
        """Run some iterations."""
        self._between(lambda: self._solver.step(iterations))

    def solve(self, resume: str | PathLike[str] | None = None) -> None:
        """Train to max_iter, from a solverstate if one is named."""
        self._between(lambda: self._solver.solve(Path(resume) if resume else None))

    def restore(self, state: str | PathLike[str]) -> None:
        """Go on from a solverstate."""
        self._between(lambda: self._solver.restore(Path(state)))

    def snapshot(self) -> None:
        """Write weights and state."""
        self._between(self._solver.snapshot)

    def apply_update(self) -> None:
        """Update the parameters by their gradients as they are."""

        def update() -> None:
            solver = self._solver
            solver.rate = solver.policy.rate(solver.iter)
            solver.update.run(solver.rate, solver.iter)
            solver.iter += 1

        self._between(update)

    def share_weights(self, net: Net) -> None:
        """Let ``net`` use this solver's parameters."""
        net.share_with(self.net)

    def add_callback(self, on_start: Callable[[], Any], on_gradients_ready: Callable[[], Any]) -> None:
        """Call these as each iteration starts, and when its gradients are ready for the update."""
        self._solver.on_start.append(on_start)
        self._solver.on_gradients_ready.append(on_gradients_ready)

    def _between(self, run: Callable[[], Any]) -> None:
        """``run`` with what lies in arrays in the script's hands taken in before and shown after."""
        ledger.before_pass()
        run()
        ledger.after_pass()


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum, whatever the file's type."""

    solver_type = "SGD"


class NesterovSolver(Solver):
    """Nesterov's accelerated gradient, whatever the file's type."""

    solver_type = "Nesterov"


class AdaGradSolver(Solver):
    """AdaGrad, whatever the file's type."""

    solver_type = "AdaGrad"


class RMSPropSolver(Solver):
    """RMSProp, whatever the file's type."""

    solver_type = "RMSProp"


class AdaDeltaSolver(Solver):
    """AdaDelta, whatever the file's type."""

    solver_type = "AdaDelta"


class AdamSolver(Solver):
    """Adam, whatever the file's type."""

    solver_type = "Adam"


def get_solver(solver_file: str | PathLike[str]) -> Solver:
    """The solver a file describes."""
    return Solver(solver_file)
