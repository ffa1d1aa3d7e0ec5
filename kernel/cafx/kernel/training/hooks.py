"""What monitors can listen to while a net trains (pluggy hook specifications).

A monitor is any object with some of these methods, marked ``@hookimpl``. One that raises is
reported once and heard no more; training goes on.
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
    """The hooks, in the order they are called."""

    @hookspec
    def net_built(self, net: Net) -> None:
        """A solver's net is ready."""

    @hookspec
    def training_started(self, solver: Training) -> None:
        """`Solver.step` or `Solver.solve` begins."""

    @hookspec
    def iteration_finished(self, solver: Training, loss: float, rate: float) -> None:
        """An iteration ended: its loss before the update, and the learning rate of the update.

        ``solver.iter`` is the number of iterations done.
        """

    @hookspec
    def final_loss(self, solver: Training, loss: float) -> None:
        """The loss of one more batch after the last update, where ``display`` asks for it."""

    @hookspec
    def test_started(self, solver: Training, index: int) -> None:
        """The test of test net ``index`` begins."""

    @hookspec
    def test_finished(self, solver: Training, index: int, scores: dict[str, Any]) -> None:
        """It ended, with the mean of each output."""

    @hookspec
    def snapshot_saved(self, solver: Training, weights: str, state: str) -> None:
        """A snapshot is on disk: the paths of its two files."""

    @hookspec
    def training_finished(self, solver: Training) -> None:
        """The last iteration is done, or training was stopped."""


class Monitors:
    """The monitors of one solver: calls reach all that are well."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(Hooks)

    def add(self, monitor: Any) -> None:
        """Let ``monitor`` listen."""
        self._manager.register(monitor)

    def call(self, hook: str, **arguments: Any) -> None:
        """Call one hook of each monitor; a monitor that raises is reported and dropped."""
        for implementation in list(getattr(self._manager.hook, hook).get_hookimpls()):
            wanted = {name: _evaluated(arguments[name]) for name in implementation.argnames}
            try:
                implementation.function(**wanted)
            except Exception as error:  # noqa: BLE001 - a stranger's monitor may raise anything
                self._manager.unregister(implementation.plugin)
                name = type(implementation.plugin).__name__
                told = f"{type(error).__name__}: {error}"
                log.error("monitor %s failed in %s and is dropped: %s", name, hook, told)  # noqa: TRY400 - one line is enough


def _evaluated(argument: Any) -> Any:
    return argument.value if isinstance(argument, Lazy) else argument
