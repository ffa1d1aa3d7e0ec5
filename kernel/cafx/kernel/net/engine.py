"""The engine seam: an engine compiles a net's plan to a program.

``compile`` reads as its four stages: `Engine.select` picks a routine for each layer, `Engine.fuse`
joins steps, `plan_memory` decides which arrays share memory, `Engine.bind` makes the program.
"""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Protocol

import attrs
import numpy as np

from cafx.kernel.blob import HOST, Place, SyncedArray
from cafx.kernel.errors import CafxError
from cafx.kernel.net.arena import Arena
from cafx.kernel.net.context import BUFFER_VALUES, Staging
from cafx.kernel.net.draws import Draws, draws_in
from cafx.kernel.net.memory import MemoryPlan, plan_memory
from cafx.kernel.net.parameters import Parameter
from cafx.kernel.net.plan import LayerPlan, NetPlan
from cafx.kernel.net.program import Program, Step, Update
from cafx.kernel.net.random import Streams
from cafx.kernel.net.routine import Compilation, Reference, Routine, Unsupported
from cafx.kernel.registry import Plugin, Registry

ENGINE_SETTING = "CAFX_ENGINE"
PRECISION_SETTING = "CAFX_PRECISION"
STRICT_SETTING = "CAFX_STRICT_MODE"
NO_GPU_ENGINE, GPU_EXTRA = "no GPU engine is installed", "cafx[cuda]"
FLOAT32 = "float32"
_chosen: contextvars.ContextVar[str | None] = contextvars.ContextVar("engine", default=None)


class Rule(Protocol):
    """What an engine asks of an update rule: see `cafx.kernel.training.UpdateRule`."""

    def updater(self, options: Any, arena: Arena, engine: Engine) -> Update:
        """The rule applied to the arena as it is written, for engines without a fused form."""


@attrs.frozen
class Device:
    """A device an engine can use, as ``cafx device`` shows it.

    Attributes:
        index: what ``--gpu`` takes.
        name: its name.
        memory: bytes of memory it has.
        free: bytes of it that are free.
        details: further facts by name, such as the versions of driver and libraries.
    """

    index: int
    name: str
    memory: int
    free: int
    details: Mapping[str, str] = attrs.field(factory=dict)


class Engine:
    """Compiles nets. This base class runs every layer as its author wrote it.

    Class attributes:
        name: what ``--engine`` takes.
        priority: the highest of the available engines is the default.
        precisions: the arithmetic precisions it has.
        gpu: whether it runs on a GPU, and so is meant by ``--gpu`` and ``solver_mode: GPU``.
        buffer_values: how many values a layer's temporary buffer should have, so that one call works
            on much without taking much memory.
        place: where layers' blobs are read and written.
        xp: the array module layers compute with.
        compilation: what its routines share while a net is compiled and run.
        program: the kind of program it compiles to.

    Args:
        plugins: where routines are found.
        precision: arithmetic precision, one of ``precisions``.
        threads: number of threads; None for the engine's default.
        device: index of the device, for engines that have several.

    Raises:
        CafxError: a precision it does not have, or not on this machine.

    Example:
        >>> from cafx.kernel import Net, registry, schema
        >>> class Counting(Engine):
        ...     name = "counting"
        ...
        ...     def fuse(self, compilation, steps):
        ...         print(f"{len(steps)} step")
        ...         return steps
        >>> text = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
        >>> net = Net(schema().parse_text(text, "NetParameter"), engine=Counting(registry()))
        1 step
    """

    name: ClassVar[str] = "plain"
    priority: ClassVar[int] = 0
    precisions: ClassVar[tuple[str, ...]] = (FLOAT32,)
    gpu: ClassVar[bool] = False
    buffer_values: ClassVar[int] = BUFFER_VALUES
    place: Place = HOST
    xp: Any = np
    compilation: ClassVar[type[Compilation]] = Compilation
    program: ClassVar[type[Program]] = Program

    def __init__(
        self, plugins: Registry, *, precision: str = FLOAT32, threads: int | None = None, device: int = 0
    ) -> None:
        if precision not in self.precisions:
            raise CafxError(
                f"engine '{self.name}' has no such precision", found=precision, expected=" or ".join(self.precisions)
            )
        self.plugins = plugins
        self.precision = precision
        self.threads = threads or default_threads()
        self.device = device

    @classmethod
    def unavailable(cls) -> str | None:
        """Why this engine cannot run on this machine, or None."""
        return None

    @classmethod
    def devices(cls) -> Sequence[Device]:
        """The devices it can use; none for an engine that runs on the processor, or that is unavailable."""
        return ()

    def compile(self, plan: NetPlan) -> Program:
        """The program of a net at its present shapes.

        Args:
            plan: the net; nothing of it is changed.
        """
        compilation = self.compilation(self, plan)
        parts = self.select(compilation)
        steps = self.fuse(compilation, parts)
        memory = self.plan_memory(compilation, steps)
        return self.bind(compilation, parts, steps, memory)

    def select(self, compilation: Compilation) -> list[Step]:
        """One step per layer: the routine for it, or the layer as written and why there is no routine."""
        return [self._select(compilation, planned) for planned in compilation.plan.layers]

    def _select(self, compilation: Compilation, planned: LayerPlan) -> Step:
        try:
            routine = self.routine(compilation, planned)
        except Unsupported as reason:
            return Step((planned,), (Reference(compilation, planned),), str(reason))
        return Step((planned,), (routine,), routine.note)

    def routine(self, compilation: Compilation, planned: LayerPlan) -> Routine:
        """The routine for a layer, from group ``cafx.engines.NAME``.

        Raises:
            Unsupported: there is none, or not for this layer's options and shapes.
        """
        kind = f"engine.{self.name}"
        if planned.layer.as_written or planned.layer.type not in self.plugins.names(kind):
            raise Unsupported(planned.layer.as_written)
        made: Routine = self.plugins.load(kind, planned.layer.type)(compilation, planned)
        return made

    def fuse(self, compilation: Compilation, steps: Sequence[Step]) -> Sequence[Step]:
        """The steps with some joined. Layers, blobs and parameters stay what they were."""
        return steps

    def plan_memory(self, compilation: Compilation, steps: Sequence[Step]) -> MemoryPlan:
        """Which arrays share memory."""
        plan = compilation.plan
        memory = plan_memory(steps, plan.kept, has_backward=plan.has_backward)
        held = sum(routine.nbytes for step in steps for routine in step.routines)
        return attrs.evolve(memory, held=compilation.nbytes + held)

    def bind(
        self, compilation: Compilation, parts: Sequence[Step], steps: Sequence[Step], memory: MemoryPlan
    ) -> Program:
        """The program that runs the steps."""
        return self.program(
            compilation.plan,
            parts,
            steps,
            memory,
            make_arena=lambda parameters: self.arena(parameters, compilation.parameter_places),
            make_update=self.updater,
            **self.program_settings(compilation),
        )

    def program_settings(self, compilation: Compilation) -> dict[str, Any]:
        """What the engine's kind of program takes besides, by keyword."""
        return {}

    def updater(self, rule: Rule, options: Any, arena: Arena) -> Update:
        """A fused form of an update rule, from group ``cafx.engines.NAME.solvers``, else the rule as written."""
        kind = f"engine.{self.name}.solvers"
        if options.type in self.plugins.names(kind):
            try:
                fused: Update = self.plugins.load(kind, options.type)(self, rule, options, arena)
            except Unsupported:
                return rule.updater(options, arena, self)
            return fused
        return rule.updater(options, arena, self)

    def arena(self, parameters: Sequence[Parameter], places: Mapping[SyncedArray, Place]) -> Arena:
        """The arena of a net's parameters, in the engine's place.

        Args:
            parameters: the learned parameters.
            places: where some of them are best kept.
        """
        return Arena(parameters, places, self.place)

    def draws(self, streams: Streams) -> Draws:
        """Where layers get random numbers in the engine's place.

        Args:
            streams: the net's random streams, which give the seed and keep the positions.
        """
        return draws_in(self.place, streams, self.xp)

    def staging(self) -> Staging | None:
        """What sends one data layer's next batch to the device before it is needed; None for the host."""
        return None

    def synchronize(self) -> None:
        """Return when everything started on the device is done."""

    def conversions(self) -> tuple[int, float]:
        """How many conversions between layouts this thread has run, and the seconds they took."""
        return 0, 0.0

    def gemm(self, size: int) -> Callable[[], object]:
        """A call that multiplies two square matrices in the engine's precision: the peak ``cafx time`` shows."""
        left, right, product = (self.xp.ones((size, size), np.float32) for _ in range(3))
        return partial(self.xp.matmul, left, right, out=product)


def default_threads() -> int:
    """OMP_NUM_THREADS, else the number of processors this process may use."""
    stated = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if stated.isdigit() and int(stated):
        return int(stated)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_engine(name: str | None) -> None:
    """Choose the engine of nets created from here on in this thread; None for the best installed.

    Example:
        >>> from cafx.kernel import registry
        >>> set_engine("numpy")
        >>> make_engine(None, registry()).name
        'numpy'
        >>> set_engine(None)
    """
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
            does not have; settings that differ from those of an engine that exists already.

    Example:
        >>> from cafx.kernel import registry
        >>> make_engine("numpy", registry(), threads=2).threads
        2
    """
    if isinstance(choice, Engine):
        if precision not in (None, choice.precision) or threads not in (None, choice.threads):
            raise CafxError(
                f"engine '{choice.name}' exists already",
                found="other precision or threads",
                remedy="pass them to the engine, or pass its name instead",
            )
        return choice
    precision = precision or os.environ.get(PRECISION_SETTING) or FLOAT32
    return _engine_class(choice, plugins)(plugins, precision=precision, threads=threads, device=device)


def _engine_class(choice: str | None, plugins: Registry) -> type[Engine]:
    name = choice or chosen_engine()
    if not name:
        return next((engine for _, engine in _available(plugins)), Engine)
    found: type[Engine] = plugins.load("engine", name)
    reason = found.unavailable()
    if reason:
        raise CafxError(f"engine '{name}' cannot run here: {reason}", remedy="choose another with --engine")
    return found


def _available(plugins: Registry) -> Iterator[tuple[str, type[Engine]]]:
    """The engines that can run here, by name, the one of highest priority first."""
    usable: list[tuple[Plugin, type[Engine]]] = plugins.usable("engine")
    ranked = sorted(usable, key=lambda each: each[1].priority, reverse=True)
    return ((plugin.name, engine) for plugin, engine in ranked if engine.unavailable() is None)


def chosen_engine() -> str | None:
    """The engine that `set_engine` or CAFX_ENGINE names, or None.

    Example:
        >>> set_engine("numpy")
        >>> chosen_engine()
        'numpy'
        >>> set_engine(None)
    """
    return _chosen.get() or os.environ.get(ENGINE_SETTING) or None


def available_engine(plugins: Registry, *, gpu: bool) -> str | None:
    """The name of the best available engine of one kind, or None if there is none.

    Args:
        plugins: where engines are found.
        gpu: whether it has to run on a GPU, or on the processor.

    Example:
        >>> from cafx.kernel import registry
        >>> available_engine(registry(), gpu=False) in registry().names("engine")
        True
    """
    return next((name for name, engine in _available(plugins) if engine.gpu is gpu), None)


def why_no_gpu(plugins: Registry) -> str:
    """Why no GPU engine can run here, in one line: each with its reason, or how to install one.

    Engines that cannot be imported are among them.
    """
    reasons: dict[str, list[str]] = {}
    installed = False
    for plugin in plugins.plugins("engine"):
        error = plugins.error(plugin)
        engine: type[Engine] = Engine if error else plugins.load_plugin(plugin)
        installed |= engine.gpu
        reason = str(error) if error else engine.unavailable() if engine.gpu else None
        if reason:
            reasons.setdefault(reason, []).append(plugin.name)
    texts = [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return "; ".join(texts if installed else [*texts, f"{NO_GPU_ENGINE}: {plugins.install_line(GPU_EXTRA)}"])


def engine_of_kind(plugins: Registry, *, gpu: bool, asked: str) -> tuple[str | None, str | None]:
    """The engine for a file or script that asks for a GPU, or for the processor, without naming an engine.

    Args:
        plugins: where engines are found.
        gpu: whether it asks for a GPU.
        asked: how it asks, such as ``solver_mode: GPU``.

    Returns:
        The engine's name, or None to leave the one that `set_engine` or CAFX_ENGINE names; and, where a GPU
        is asked for and there is none, a notice of that, else None.

    Raises:
        CafxError: there is no GPU, and CAFX_STRICT_MODE is 1.

    Example:
        >>> from cafx.kernel import registry
        >>> set_engine("numpy")
        >>> engine_of_kind(registry(), gpu=True, asked="solver_mode: GPU")
        (None, None)
        >>> set_engine(None)
    """
    if chosen_engine():
        return None, None
    found = available_engine(plugins, gpu=gpu)
    if found or not gpu:
        return found, None
    notice = f"{asked}: no GPU here ({why_no_gpu(plugins)})"
    if os.environ.get(STRICT_SETTING, "0") not in ("", "0"):
        raise CafxError(notice, remedy=f"unset {STRICT_SETTING} to use the CPU")
    return available_engine(plugins, gpu=False), notice
