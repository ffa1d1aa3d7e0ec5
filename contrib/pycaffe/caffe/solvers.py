"""Solvers: pycaffe's interface to the kernel's solver."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any, ClassVar

from caffe import glog
from caffe.arguments import ArgumentError, path, whole
from caffe.blob import ledger
from caffe.exceptions import own_exceptions
from caffe.modes import process
from caffe.nccl import NCCL, Later
from caffe.net import Net
from caffe.vectors import NetVec
from cafx.kernel import Solver as KernelSolver
from cafx.kernel import registry
from cafx.kernel.training import read_solver


class _CallbackSolver(KernelSolver):
    """The kernel's solver with callbacks at the start of each iteration and before each update."""

    on_start: list[Callable[[], Any]]
    on_gradients_ready: list[Callable[[], Any]]

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.on_start, self.on_gradients_ready = [], []
        update, run = self.update, self.update.run

        def apply_after_callbacks(rate: float, iteration: int) -> None:
            for callback in self.on_gradients_ready:
                callback()
            run(rate, iteration)

        update.run = apply_after_callbacks  # type: ignore[method-assign]
        if isinstance(self.replicas.communicator, Later):
            update.ranks, update.exchange = 1, self.net.arena.synchronise

    def iterate(self) -> Any:
        """One iteration, after the callbacks of its start."""
        for callback in self.on_start:
            callback()
        return super().iterate()


class Solver:
    """A solver of the type given in its prototxt.

    Like Caffe's, it continues when the loss is NaN or infinite, and writes its log to standard error: losses
    as ``display`` says, tests, snapshots. ``GLOG_minloglevel=1`` or ``caffe.init_log(1)`` silences it.

    Args:
        solver_file: path of the solver prototxt.

    Attributes:
        net: the training net.
        test_nets: the test nets.

    Raises:
        CafxError: the solver or its nets are not valid.
        Exception: whatever a layer written in Python raises.
    """

    solver_type: ClassVar[str | None] = None

    def __init__(self, solver_file: str | PathLike[str]) -> None:
        solver_path = path(solver_file, "a solver's prototxt")
        options = read_solver(solver_path, registry())
        if self.solver_type:
            options.ClearField("solver_type")
            options.type = self.solver_type
        seed = None if options.random_seed >= 0 else process.seed
        settings = {"seed": seed, "keep_tests": "all", "allow_nan": True, **process.engine_keywords()}
        if process.solver_count > 1:
            settings["communicator"] = Later(process.rank_of_count(), process.solver_count)
        glog.enable()
        with own_exceptions():
            self._solver = _CallbackSolver(options, solver_path, **settings)
        if self._solver.replicas.is_root:
            self._solver.monitors.add(glog.SolverLog())
        for copied in self._solver.copied:
            glog.report_copied(copied)
        self.net = Net.over(self._solver.net)
        self.net.accompany_solver()
        self.test_nets = NetVec(map(Net.over, self._solver.test_nets))

    iter = property(lambda self: self._solver.iter, doc="Number of completed iterations.")
    lr = property(lambda self: self._solver.rate, doc="Learning rate of the last update; 0 before the first.")
    param = property(lambda self: self._solver.options, doc="The SolverParameter.")

    def step(self, iterations: int = 1) -> None:
        """Run a number of iterations."""
        self._synchronised(lambda: self._solver.step(whole(iterations, "the number of iterations")))

    def solve(self, resume: str | PathLike[str] | None = None) -> None:
        """Train until max_iter, resuming from the solverstate ``resume`` if given."""
        self._synchronised(lambda: self._solver.solve(path(resume, "a solverstate") if resume else None))

    def restore(self, state: str | PathLike[str]) -> None:
        """Restore the solver from a solverstate file and its weights."""
        self._synchronised(lambda: self._solver.restore(path(state, "a solverstate")))

    def snapshot(self) -> None:
        """Save the weights and the solver's state."""
        self._synchronised(self._solver.snapshot)

    def apply_update(self) -> None:
        """Update the parameters with their current gradients; counts as an iteration."""

        def update() -> None:
            solver = self._solver
            solver.rate = solver.policy.rate(solver.iter)
            solver.update.run(solver.rate, solver.iter)
            solver.iter += 1

        self._synchronised(update)

    def share_weights(self, net: Net) -> None:
        """Share this solver's parameters with ``net``."""
        net.share_with(self.net)

    def add_callback(
        self, on_start: Callable[[], Any] | NCCL, on_gradients_ready: Callable[[], Any] | None = None
    ) -> None:
        """Add callbacks.

        Args:
            on_start: called at the start of each iteration; or an `NCCL`, by which gradients are averaged.
            on_gradients_ready: called before each update.

        Raises:
            ArgumentError: a function is missing.
        """
        if isinstance(on_start, NCCL):
            on_start, on_gradients_ready = on_start.callbacks()
        if not callable(on_start) or not callable(on_gradients_ready):
            raise ArgumentError("needs two functions, or an NCCL", found=f"{on_start!r}, {on_gradients_ready!r}")
        self._solver.on_start.append(on_start)
        self._solver.on_gradients_ready.append(on_gradients_ready)

    def _synchronised(self, run: Callable[[], Any]) -> None:
        """Call ``run``, using the values of arrays in use by the script and updating them afterwards."""
        ledger.before_pass()
        with own_exceptions():
            run()
        ledger.after_pass()


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum; overrides the type in the file."""

    solver_type = "SGD"


class NesterovSolver(Solver):
    """Nesterov's accelerated gradient; overrides the type in the file."""

    solver_type = "Nesterov"


class AdaGradSolver(Solver):
    """AdaGrad; overrides the type in the file."""

    solver_type = "AdaGrad"


class RMSPropSolver(Solver):
    """RMSProp; overrides the type in the file."""

    solver_type = "RMSProp"


class AdaDeltaSolver(Solver):
    """AdaDelta; overrides the type in the file."""

    solver_type = "AdaDelta"


class AdamSolver(Solver):
    """Adam; overrides the type in the file."""

    solver_type = "Adam"


def get_solver(solver_file: str | PathLike[str]) -> Solver:
    """A solver of the type given in the file."""
    return Solver(solver_file)
