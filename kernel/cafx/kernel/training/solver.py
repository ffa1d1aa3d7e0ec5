"""Solver: the training loop around a rule, a policy and the nets."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel.crash import locating
from cafx.kernel.net import Communicator, Engine, Net, Streams, as_message, make_engine
from cafx.kernel.registry import Registry, registry
from cafx.kernel.roles import advise, curve_of, html_of
from cafx.kernel.schema import Phase
from cafx.kernel.training import snapshot
from cafx.kernel.training.finite import FiniteCheck
from cafx.kernel.training.hooks import Lazy, Monitors
from cafx.kernel.training.replicas import Replicas, make_communicator, shared_seed
from cafx.kernel.training.rules import Policy, UpdateRule
from cafx.kernel.training.scores import Scores
from cafx.kernel.training.solver_file import check_options, engine_of_mode, net_sources, read_solver

COMMUNICATOR_SETTING = "CAFX_COMMUNICATOR"
log = logging.getLogger("cafx.solver")


class Action(Enum):
    """What is requested of a running solver between two iterations; of several requests, the greatest counts."""

    NONE = 0
    SNAPSHOT = 1
    STOP = 2


class Solver:
    """Trains a net according to a SolverParameter.

    Args:
        options: a SolverParameter message or a SolverSpec; `load` reads one from a file.
        source: the file it was read from; nets are also searched beside it, and snapshots are named after it.
        engine, precision, threads, device: as for `Net`; the test nets use the same engine. Without
            an engine, ``solver_mode`` and ``device_id`` choose.
        seed: seed of the random streams, instead of ``random_seed``.
        dtype: as for `Net`.
        keep, keep_tests: ``keep`` of the training net and of the test nets; see `Net`.
        allow_nan: continue when the loss or a parameter is not finite.
        communicator: the processes that train together, or the name of a plugin that knows them; None for the
            environment variable CAFX_COMMUNICATOR, or this process alone.
        split_batch: divide the batches of the training net's data layers among the processes.
        plugins: where plugins are found; by default the environment.

    Attributes:
        net, test_nets: the nets; only rank 0 of several processes has test nets.
        replicas: the copies of the training net that other processes have.
        iter: number of completed iterations.
        rate: learning rate of the last iteration.
        losses, smoothed_loss: the last ``average_loss`` losses, and their mean.
        last_loss: the loss of the last iteration, a value in the engine's place.
        curve: the losses of some of the iterations so far, for notebooks; None without role ``show``.
        update: what applies the rule to the parameters.
        monitors: who listens; see `cafx.kernel.training.hooks`.
        action: called between iterations; returns what to do.
        stopped: whether training was stopped; a monitor sets it to stop after the iteration.
        copied: what was copied from each file in the option ``weights``.

    Example:
        >>> from cafx.kernel import schema
        >>> text = '''
        ... type: "SGD" lr_policy: "fixed" base_lr: 0.5 max_iter: 2 snapshot_prefix: "example"
        ... net_param {
        ...   layer { name: "w" type: "Parameter" top: "w" parameter_param { shape { dim: 1 dim: 1 } } }
        ...   layer { name: "target" type: "DummyData" top: "t" dummy_data_param {
        ...     shape { dim: 1 dim: 1 } data_filler { value: 4 } } }
        ...   layer { name: "loss" type: "EuclideanLoss" bottom: "w" bottom: "t" top: "loss" }
        ... }'''
        >>> with Solver(schema().parse_text(text, "SolverParameter"), engine="numpy") as solver:
        ...     losses = [solver.step(), solver.step()]
        ...     losses, solver.net.params["w"][0].data.tolist()
        ([8.0, 2.0], [[3.0]])
    """

    def __init__(
        self,
        options: Any,
        source: str | Path | None = None,
        *,
        engine: str | Engine | None = None,
        precision: str | None = None,
        threads: int | None = None,
        device: int | None = None,
        seed: int | None = None,
        dtype: npt.DTypeLike = np.float32,
        keep: str | Sequence[str] = "all",
        keep_tests: str | Sequence[str] = "outputs",
        allow_nan: bool = False,
        communicator: Communicator | str | None = None,
        split_batch: bool = False,
        plugins: Registry | None = None,
    ) -> None:
        self.plugins = plugins or registry()
        if not isinstance(communicator, Communicator):
            communicator = make_communicator(communicator or os.environ.get(COMMUNICATOR_SETTING), self.plugins)
        self.options = check_options(as_message(options, "SolverParameter"), self.plugins, source)
        self.source = Path(source) if source else None
        self.allow_nan = allow_nan
        self.rule: UpdateRule = self._plugin("solver", self.options.type)
        self.policy: Policy = self._plugin("policy", self.options.lr_policy)
        self.prefix = snapshot.prefix_of(self.options, self.source)
        if self.options.snapshot:
            snapshot.check_prefix(self.prefix, self.source)
        seed = self.options.random_seed if seed is None else seed
        train, tests = net_sources(self.options, self.source, self.plugins)
        device = communicator.device if device is None else device
        if engine is None:
            engine, stated, notice = engine_of_mode(self.options, self.plugins, source)
            device = stated if device is None else device
            if notice:
                log.warning(notice)
        engine = make_engine(engine, self.plugins, precision=precision, threads=threads, device=device or 0)
        settings: dict[str, Any] = {"engine": engine, "dtype": dtype}
        seed, split = shared_seed(communicator, Streams(seed).seed), communicator.size if split_batch else 1
        self.net = train.build(Phase.TRAIN, split, seed=seed, keep=keep, communicator=communicator, **settings)
        self.update = self.net.program.updater(self.rule, self.options)
        settings |= {"seed": seed, "keep": keep_tests, "share": self.net}
        built = (each.build(Phase.TEST, **settings) for each in tests)
        self.test_nets: list[Net] = list(built) if communicator.is_root else []
        self.iter = 0
        self.rate = 0.0
        self._losses: list[Any] = []
        self.last_loss: Any = math.nan
        self._finite = FiniteCheck(self.net, self.update, self.prefix, enabled=not allow_nan)
        self.monitors = Monitors()
        self.curve = curve_of(self.monitors, self.plugins)
        self.action: Callable[[], Action] = lambda: Action.NONE
        self.stopped = False
        self._snapshot_due = self._announced = False
        self.copied = snapshot.start_from_weights(self)
        self.replicas = Replicas(communicator, self.net, self.update, self.options)

    def _plugin(self, kind: str, name: str) -> Any:
        """The rule or policy of that name; errors name the solver's file."""
        with locating(self.plugins, kind, name, str(self.source or "solver")):
            return self.plugins.load(kind, name)(self.options)

    @classmethod
    def load(cls, path: str | Path, **settings: Any) -> Solver:
        """Create a solver from a prototxt file; ``settings`` are those of the constructor."""
        return cls(read_solver(path, settings.get("plugins") or registry()), path, **settings)

    @property
    def losses(self) -> list[float]:
        """The last ``average_loss`` losses; reading them waits for a device."""
        return [float(loss) for loss in self._losses]

    @losses.setter
    def losses(self, values: Sequence[float]) -> None:
        self._losses = list(values)

    @property
    def smoothed_loss(self) -> float:
        """The mean of the last ``average_loss`` losses."""
        losses = self.losses
        return sum(losses) / len(losses) if losses else math.nan

    def _remember_loss(self, loss: Any) -> None:
        self._losses = [*self._losses, loss][-self.options.average_loss :]

    def solve(self, resume: str | Path | None = None) -> bool:
        """Train to max_iter, with tests and snapshots.

        Args:
            resume: a solverstate file to resume from; None to continue from the present iteration.

        Returns:
            Whether max_iter was reached; False if training was stopped before.
        """
        if resume:
            self.restore(resume)
        options = self.options
        if options.snapshot_after_train:
            snapshot.check_prefix(self.prefix, self.source)
        self._run(max(0, options.max_iter - self.iter))
        if options.snapshot_after_train and not (options.snapshot and self.iter % options.snapshot == 0):
            self.snapshot()
        if not self.stopped and options.display and self.iter % options.display == 0:
            self._show_final_loss()
        if not self.stopped and self.test_nets and options.test_interval and self.iter % options.test_interval == 0:
            self.test_all()
        self.monitors.call("training_finished", solver=self)
        return not self.stopped

    def _show_final_loss(self) -> None:
        """Run one more batch forward, for the loss after the last update."""
        self.net.run_forward()
        self._remember_loss(self.net.loss)
        self.monitors.call("final_loss", solver=self, loss=self.net.loss)

    def step(self, iterations: int = 1) -> float:
        """Run some iterations and return the smoothed loss."""
        self._run(iterations)
        self._finite.report()
        return self.smoothed_loss

    def _start(self, iterations: int) -> None:
        """Announce the nets, the first time, and the training."""
        if not self._announced:
            advise(self.plugins, log, "of_solver", self, iterations)
        for net in () if self._announced else (self.net, *self.test_nets):
            self.monitors.call("net_built", net=net)
        self._announced = True
        self.monitors.call("training_started", solver=self)

    def _run(self, iterations: int) -> None:
        self.stopped = False
        self._start(iterations)
        for _ in range(iterations):
            if self._tests_now():
                self.test_all()
            if self.stopped:
                return
            loss = self.iterate()
            if self.options.display and self.iter % self.options.display == 0:
                self._finite.report()
            self.monitors.call("iteration_finished", solver=self, loss=Lazy(partial(float, loss)), rate=self.rate)
            wish = Action.STOP if self.stopped else self.action()
            self._obey(Action(self.replicas.agree(wish.value)))
            every = self.options.snapshot
            if self._snapshot_due or (every and self.iter % every == 0):
                self.snapshot()
            if self.stopped:
                return

    def _tests_now(self) -> bool:
        every = self.options.test_interval if self.test_nets else 0
        return bool(every) and self.iter % every == 0 and (self.iter > 0 or self.options.test_initialization)

    def iterate(self) -> Any:
        """Run one iteration: gradients over iter_size batches, then one update.

        Returns:
            The loss before the update, a value in the engine's place.
        """
        options, net = self.options, self.net
        displayed = bool(options.display) and self.iter % options.display == 0
        if options.debug_info:
            net.set_debug_info(displayed)
        net.clear_param_diffs()
        loss: Any = 0.0
        for index in range(options.iter_size):
            net.run_forward()
            self.replicas.backward(last=index == options.iter_size - 1)
            loss = loss + net.loss_value
        if options.iter_size > 1:
            loss = loss / options.iter_size
        self._finite.check_loss(loss, self.iter)
        self._remember_loss(loss)
        self.last_loss = loss
        smoothed = self.replicas.mean(self.smoothed_loss) if self.policy.watches_loss else None
        with locating(self.plugins, "policy", options.lr_policy, "solver"):
            if smoothed is not None:
                self.policy.observe(smoothed, self.iter)
            self.rate = self.policy.rate(self.iter)
        if net.observer:
            net.observer.update()
        self.update.run(self.rate, self.iter)
        self._finite.check_parameters(self.iter)
        self.iter += 1
        return loss

    def test_all(self) -> list[dict[str, npt.NDArray[Any]]]:
        """Run all tests and return the scores of each.

        A test that is stopped leaves no trace: after a resume it starts again, on the same batches.
        """
        before = [net.state() for net in self.test_nets]
        scores = []
        for index in range(len(self.test_nets)):
            scores.append(self.test(index))
            if self.stopped:
                for net, state in zip(self.test_nets, before, strict=True):
                    net.restore(state)
                break
        return scores

    def test(self, index: int = 0) -> dict[str, npt.NDArray[Any]]:
        """Run a test net for its test_iter batches.

        Args:
            index: number of the test net.

        Returns:
            The mean of each output by name, or what `Layer.test_scores` makes of it; with test_compute_loss also
            the mean of the objective, "(loss)".
        """
        self._finite.report()
        self.monitors.call("test_started", solver=self, index=index)
        net, batches = self.test_nets[index], self.options.test_iter[index]
        scores = Scores(net, self.options, with_loss=self.options.test_compute_loss)
        for _ in range(batches):
            scores.add(net.forward())
            self._obey(self.action())
            if self.stopped:
                return {}
        result = scores.result()
        self.monitors.call("test_finished", solver=self, index=index, scores=result)
        return result

    def snapshot(self) -> tuple[Path, Path]:
        """Write weights and solverstate, each atomically, in rank 0 of several processes; returns the two paths."""
        self._finite.report()
        self._snapshot_due = False
        weights, state = snapshot.write(self)
        self.replicas.communicator.barrier()
        self.monitors.call("snapshot_saved", solver=self, weights=str(weights), state=str(state))
        return weights, state

    def restore(self, path: str | Path) -> None:
        """Resume from a solverstate: weights, history, iteration and, if it has them, all random streams."""
        snapshot.restore(self, Path(path))

    def __repr__(self) -> str:
        return f"<Solver {self.options.type}: iteration {self.iter} of {self.options.max_iter}, net '{self.net.name}'>"

    def _repr_html_(self) -> str | None:
        return html_of(self, self.plugins)

    def close(self) -> None:
        """Release the nets' threads, files and databases."""
        for net in (self.net, *self.test_nets):
            net.close()

    def __enter__(self) -> Solver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _obey(self, action: Action) -> None:
        # acted on between iterations only: the middle of a test cannot be resumed
        self._snapshot_due = self._snapshot_due or action is Action.SNAPSHOT
        self.stopped = self.stopped or action is Action.STOP
