"""Hooks for monitoring training (pluggy hook specifications).

A monitor is any object with some of the methods of `Hooks`, marked ``@hookimpl``. A monitor that raises
an exception is reported once and disabled; training continues.

Example:
    >>> class PrintLoss:
    ...     @hookimpl
    ...     def iteration_finished(self, solver, loss):
    ...         print(f"loss {loss:.2f}")
    >>> monitors = Monitors()
    >>> monitors.add(PrintLoss())
    >>> monitors.call("iteration_finished", solver=None, loss=0.5, rate=0.01)
    loss 0.50
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pluggy

from cafx.kernel.net import Net, Update
from cafx.kernel.registry import Registry
from cafx.kernel.training.replicas import Replicas
from cafx.kernel.training.rules import Policy

PROJECT = "cafx"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
log = logging.getLogger("cafx.monitors")


class Training(Protocol):
    """A solver, as monitors and snapshots see it: see `cafx.kernel.Solver`."""

    options: Any
    source: Path | None
    prefix: Path
    plugins: Registry
    net: Net
    test_nets: list[Net]
    policy: Policy
    update: Update
    replicas: Replicas
    iter: int
    rate: float

    @property
    def losses(self) -> list[float]:
        """The last ``average_loss`` losses."""

    @losses.setter
    def losses(self, values: Sequence[float]) -> None: ...

    @property
    def smoothed_loss(self) -> float:
        """Their mean."""


class Lazy:
    """An argument of a hook that is computed only for the monitors that name it.

    Args:
        compute: called at most once per call of the hook.
    """

    def __init__(self, compute: Callable[[], Any]) -> None:
        self._compute = compute

    @cached_property
    def value(self) -> Any:
        """What ``compute`` returned."""
        return self._compute()


class Hooks:
    """The hooks, in calling order; an implementation may leave out arguments it does not need.

    A monitor stops training by setting ``solver.stopped = True`` in `iteration_finished`: that iteration is the last
    one, in all processes that train together. `Solver.solve` then saves a snapshot, calls `training_finished` and
    returns False. An exception does not stop training: the monitor is reported and disabled.

    Example:
        >>> class StopAt:
        ...     def __init__(self, loss):
        ...         self.loss = loss
        ...
        ...     @hookimpl
        ...     def iteration_finished(self, solver, loss):
        ...         if loss < self.loss:
        ...             solver.stopped = True
    """

    @hookspec
    def net_built(self, net: Net) -> None:
        """Called when a net of the solver has been built."""

    @hookspec
    def training_started(self, solver: Training) -> None:
        """Called when `Solver.step` or `Solver.solve` starts."""

    @hookspec
    def iteration_finished(self, solver: Training, loss: float, rate: float) -> None:
        """Called after each iteration.

        Args:
            solver: the solver; ``solver.iter`` is the number of completed iterations.
            loss: loss before the update.
            rate: learning rate of the update.
        """

    @hookspec
    def final_loss(self, solver: Training, loss: float) -> None:
        """Called with the loss of one more batch after the last update, if ``display`` requests it."""

    @hookspec
    def test_started(self, solver: Training, index: int) -> None:
        """Called before test net number ``index`` is tested."""

    @hookspec
    def test_finished(self, solver: Training, index: int, scores: dict[str, Any]) -> None:
        """Called after test net number ``index`` was tested; ``scores`` are the mean outputs by name."""

    @hookspec
    def snapshot_saved(self, solver: Training, weights: str, state: str) -> None:
        """Called after a snapshot was saved, with the paths of its weights and state files."""

    @hookspec
    def training_finished(self, solver: Training) -> None:
        """Called after the last iteration, or when training was stopped."""


class Monitors:
    """The monitors of one solver; dispatches to monitors that have not failed.

    Example:
        >>> class PrintRate:
        ...     @hookimpl
        ...     def iteration_finished(self, solver, rate):
        ...         print(f"rate {rate}")
        >>> monitors = Monitors()
        >>> monitors.add(PrintRate())
        >>> monitors.call("iteration_finished", solver=None, loss=0.5, rate=0.01)
        rate 0.01
    """

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(Hooks)

    def add(self, monitor: Any) -> None:
        """Attach a monitor, an object with methods marked ``@hookimpl``."""
        self._manager.register(monitor)

    def call(self, hook: str, **arguments: Any) -> None:
        """Call one hook of all monitors; a monitor that raises is reported and disabled.

        Args:
            hook: name of a method of `Hooks`.
            arguments: all arguments of that hook.
        """
        for implementation in list(getattr(self._manager.hook, hook).get_hookimpls()):
            accepted = {name: _evaluated(arguments[name]) for name in implementation.argnames}
            try:
                implementation.function(**accepted)
            except Exception as error:  # noqa: BLE001 - third-party monitors may raise anything
                self._manager.unregister(implementation.plugin)
                name = type(implementation.plugin).__name__
                reason = f"{type(error).__name__}: {error}"
                log.error("monitor %s failed in %s and was disabled: %s", name, hook, reason)  # noqa: TRY400 - one line is enough


def _evaluated(argument: Any) -> Any:
    return argument.value if isinstance(argument, Lazy) else argument
