"""The engine seam: where layers' arrays live, and what runs faster than their plain text.

An engine may bring a place, routines (a faster forward and backward for one layer at its present
shapes, found in entry-point group ``cafx.engines.NAME`` by layer type), rewrites of the schedule
(fusions), layouts for parameters and a faster solver update. All are optional: what an engine has
no routine for runs as its author wrote it.
"""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from cafx.kernel.blob import HOST, Blob, Place
from cafx.kernel.errors import CafxError
from cafx.kernel.net.layer import Layer
from cafx.kernel.net.memory import Layout
from cafx.kernel.net.step import Step
from cafx.kernel.registry import Registry

ENGINE_SETTING = "CAFX_ENGINE"
PRECISION_SETTING = "CAFX_PRECISION"
FLOAT32 = "float32"
_chosen: contextvars.ContextVar[str | None] = contextvars.ContextVar("engine", default=None)


class Routine:
    """A faster way to run one layer at its present shapes; made anew when these change.

    Args:
        engine: the engine it belongs to.
        layer: the layer, set up and reshaped.
        step: its bottoms, tops and which gradients are wanted.

    Raises:
        Unsupported: this layer's options or shapes are not for it; the layer then runs plain.
    """

    def __init__(self, engine: Engine, layer: Layer, step: Step) -> None:
        self.engine = engine
        self.layer = layer
        self.step = step

    def forward(self) -> None:
        """Write the tops' data."""
        raise NotImplementedError

    def backward(self) -> None:
        """Write the bottoms' diffs asked for; add to the parameters' diffs."""
        raise NotImplementedError


class Unsupported(Exception):
    """A routine's word that it cannot run this layer, with the reason, which ``cafx net`` shows."""


class Engine:
    """An engine; this base is the plain one, on which every layer runs.

    Class attributes:
        name: what ``--engine`` takes.
        priority: the highest of the available engines is the default.
        precisions: what it can compute in.

    Args:
        plugins: where routines are found.
        precision: arithmetic precision, one of ``precisions``.
        threads: number of threads; None for the engine's default.
        device: index of the device, for engines that have several.

    Raises:
        CafxError: a precision it does not have, or not on this machine.

    Methods an engine may have besides, which ``cafx time`` looks for:
        synchronize(): return when all that was begun is done.
        reorders(): how many changes of layout there have been in this thread, and the seconds they took.
        product(size): what multiplies two square matrices in the engine's precision when called.
    """

    name: ClassVar[str] = "plain"
    priority: ClassVar[int] = 0
    precisions: ClassVar[tuple[str, ...]] = (FLOAT32,)
    place: Place = HOST
    xp: Any = np

    def __init__(
        self, plugins: Registry, *, precision: str = FLOAT32, threads: int | None = None, device: int = 0
    ) -> None:
        if precision not in self.precisions:
            raise CafxError(
                f"engine '{self.name}' has no such precision", found=precision, expected=" or ".join(self.precisions)
            )
        self.plugins = plugins
        self.precision = precision
        self.threads = threads
        self.device = device

    @classmethod
    def unavailable(cls) -> str | None:
        """Why this engine cannot run on this machine, or None."""
        return None

    def retain(self, kept: Sequence[Blob] | None, *, backward: bool) -> None:
        """Told before routines are made: the blobs that hold their values after a pass (None: all),
        and whether the net ever goes back.
        """

    def routine(self, layer: Layer, step: Step) -> Routine:
        """The routine for a layer; `Unsupported` where there is none."""
        kind = f"engine.{self.name}"
        if layer.type not in self.plugins.names(kind):
            raise Unsupported("")
        made: Routine = self.plugins.load(kind, layer.type)(self, layer, step)
        return made

    def rewrite(self, steps: list[Step]) -> list[Step]:
        """The schedule with steps fused or replaced; layers, blobs and parameters stay as named."""
        return steps

    def layout(self, parameter: Blob) -> Layout | None:
        """How a parameter is stored in the arena, or None for plain."""
        return None

    def updater(self, updater: Any) -> Callable[[float, float, int], None] | None:
        """A faster ``run(rate, scale, iteration)`` in place of a solver's `Updater`'s own passes, or None.

        It multiplies every diff by ``scale``, regularises, applies the rule and subtracts.
        """
        return None

    def close(self) -> None:
        """Release what the engine holds for a net."""


def set_engine(name: str | None) -> None:
    """Choose the engine of nets made from here on, in this thread; None for the best installed."""
    _chosen.set(name)


def make_engine(
    choice: str | Engine | None,
    plugins: Registry,
    *,
    precision: str | None = None,
    threads: int | None = None,
    device: int = 0,
) -> Engine:
    """The engine chosen by argument, `set_engine` or CAFX_ENGINE, else the best available.

    Args:
        choice: name of an engine, or an engine, which is then used as it is.
        plugins: where engines are found.
        precision: as for `Engine`; None for CAFX_PRECISION, else float32.
        threads, device: as for `Engine`.

    Raises:
        CafxError: an unknown engine, or one that cannot run here, with the reason; a precision it
            does not have; settings for an engine that is already made.
    """
    if isinstance(choice, Engine):
        if precision not in (None, choice.precision) or threads not in (None, choice.threads):
            raise CafxError(
                f"engine '{choice.name}' is already made",
                found="precision or threads beside an engine",
                remedy="give them to the engine, or name the engine instead of passing it",
            )
        return choice
    precision = precision or os.environ.get(PRECISION_SETTING) or FLOAT32
    return _engine_class(choice, plugins)(plugins, precision=precision, threads=threads, device=device)


def _engine_class(choice: str | None, plugins: Registry) -> type[Engine]:
    name = choice or _chosen.get() or os.environ.get(ENGINE_SETTING)
    if not name:
        return best_engine(plugins)
    found: type[Engine] = plugins.load("engine", name)
    reason = found.unavailable()
    if reason:
        raise CafxError(f"engine '{name}' cannot run here: {reason}", remedy="choose another with --engine")
    return found


def best_engine(plugins: Registry) -> type[Engine]:
    """The available engine of highest priority."""
    usable: list[type[Engine]] = [found for _, found in plugins.usable("engine")]
    ranked = sorted(usable, key=lambda engine: engine.priority, reverse=True)
    return next((engine for engine in ranked if engine.unavailable() is None), Engine)
