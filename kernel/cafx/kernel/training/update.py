"""One update of all parameters: clip, average, regularise, apply the rule, subtract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel.blob import HOST
from cafx.kernel.crash import raise_located
from cafx.kernel.errors import CafxError
from cafx.kernel.net import Arena, Engine, Range

CHUNK = 1 << 16
"""Values that a core's cache holds of parameters, gradients and history together."""
WORTH_THREADS = 1 << 16
"""Values below which threads cost more than they save."""
SMALLEST = float(np.finfo(np.float64).tiny)
REGULARISERS = ("L1", "L2")


class Rule(Protocol):
    """The part of an update rule that works on arrays: see `UpdateRule`."""

    slots: ClassVar[int]

    def update(self, diff: Any, history: Sequence[Any], rate: float, iteration: int) -> None:
        """Replace the gradient in ``diff`` by what is subtracted from the parameters."""


class Update:
    """Applies one solver's rule to one net's arena.

    The arena is worked through in chunks that stay in a core's cache, on all of the engine's
    threads; on a device it is one chunk. What is computed does not depend on the chunks.

    Args:
        rule: the solver plugin's rule.
        options: the SolverParameter.
        arena: the parameters.
        engine: whose threads and array module are used.

    Attributes:
        history: the rule's memory, one array of the arena's size per slot.
        ranks: number of processes whose gradients are summed; `apply` divides by it, before it clips.
        exchange: called before the gradients are used, for those of other processes.
        first_not_finite: None; an engine's fused form may keep the first iteration after which a
            parameter was not finite there (`NEVER` before), so that nobody needs to ask for `finite`.

    Raises:
        CafxError: an unknown ``regularization_type``.

    Example:
        >>> from cafx.kernel.blob import Blob
        >>> from cafx.kernel.net import Parameter, make_engine
        >>> from cafx.kernel.registry import registry
        >>> from cafx.kernel.schema import schema
        >>> class Descent:
        ...     slots = 0
        ...
        ...     def update(self, diff, history, rate, iteration):
        ...         diff *= rate
        >>> blob = Blob((2,))
        >>> blob.set_data([1, 2])
        >>> blob.mutable_diff[...] = 1
        >>> arena = Arena([Parameter(blob, 0, 0, "0")], {}, HOST)
        >>> options, engine = schema()["SolverParameter"](), make_engine("numpy", registry())
        >>> Update(Descent(), options, arena, engine).run(rate=0.5, iteration=0)
        >>> blob.data.tolist()
        [0.5, 1.5]
    """

    first_not_finite: Any = None

    def __init__(self, rule: Rule, options: Any, arena: Arena, engine: Engine) -> None:
        if options.regularization_type not in REGULARISERS:
            raise CafxError(
                "unknown regularization_type", where="solver", found=options.regularization_type, expected="L1 or L2"
            )
        self.rule, self.options, self.arena, self.xp = rule, options, arena, engine.xp
        self.history = [arena.zeros() for _ in range(rule.slots)]
        self._plugins, self.ranks = engine.plugins, 1
        self.exchange: Callable[[], object] = arena.synchronise
        self._on_host = arena.place is HOST
        self._threads = engine.threads if self._on_host and arena.size >= WORTH_THREADS else 1
        size = min(CHUNK, -(-arena.size // self._threads)) if self._on_host else arena.size
        self._chunks = [
            attrs.evolve(part, start=start, stop=min(start + size, part.stop))
            for part in arena.ranges
            for start in range(part.start, part.stop, size)
        ]
        self._pool = ThreadPoolExecutor(self._threads - 1, "cafx-update") if self._threads > 1 else None

    def run(self, rate: float, iteration: int) -> None:
        """Update every parameter from its accumulated gradient, which then holds what was subtracted.

        Args:
            rate: the learning rate.
            iteration: iterations done, from 0.
        """
        self.exchange()
        self.apply(rate, self._scale(), iteration)

    def apply(self, rate: float, scale: Any, iteration: int) -> None:
        """Regularise, apply the rule and subtract; engines with a fused form override this.

        Args:
            rate, iteration: as for `run`.
            scale: the factor of the gradients, from clipping and averaging; None for 1.
        """
        waiting = iter(self._chunks)

        def work() -> None:
            with np.errstate(over="ignore", invalid="ignore"):  # `finite` reports those
                for chunk in waiting:
                    self._update(chunk, rate, scale, iteration)

        helpers = [self._pool.submit(work) for _ in range(self._threads - 1)] if self._pool else []
        work()
        for each in helpers:
            each.result()

    def _update(self, chunk: Range, rate: float, scale: Any, iteration: int) -> None:
        part = slice(chunk.start, chunk.stop)
        data, diff = self.arena.data[part], self.arena.diff[part]
        dtype = self.arena.dtype.type
        if scale is not None:
            diff *= scale
        decay = self.options.weight_decay * chunk.decay_mult
        if decay and self.options.regularization_type == "L2":
            diff += dtype(decay) * data
        elif decay:
            diff += dtype(decay) * self.xp.sign(data)
        try:
            self.rule.update(diff, [slot[part] for slot in self.history], rate * chunk.lr_mult, iteration)
        except Exception as error:  # noqa: BLE001 - third-party code may raise anything
            raise_located(error, self._plugins, "solver", self.options.type, "solver")
        data -= diff

    def norm(self) -> Any:
        """The L2 norm of all gradients, a value in the arena's place."""
        return self.xp.sqrt(self._sum_of_squares(self.arena.diff))

    def finite(self) -> Any:
        """Whether every parameter is finite, a value in the arena's place."""
        with np.errstate(over="ignore", invalid="ignore"):
            quick = self.xp.isfinite(self._sum_of_squares(self.arena.data))
        if self._on_host and not quick:  # squares may overflow where the values do not
            return np.isfinite(self.arena.data).all()
        return quick

    def _scale(self) -> Any:
        """The factor that clips and averages the gradients, in their type; None for 1."""
        bound, iterations = self.options.clip_gradients * self.ranks, self.options.iter_size * self.ranks
        if bound < 0:
            convert: Any = self.arena.dtype.type
            return None if iterations == 1 else convert(1.0 / iterations)
        norm = self.norm()
        clipped = bound / self.xp.maximum(norm, max(bound, SMALLEST))
        scale = (self.xp.where(norm > bound, clipped, 1.0) / iterations).astype(self.arena.dtype)
        return None if self._on_host and scale == 1 else scale

    def _sum_of_squares(self, values: Any) -> Any:
        """Σ v², summed chunk by chunk in float64."""
        if not self._on_host:
            return self.xp.dot(values, values).astype(np.float64)
        parts = np.array_split(values, values.size // CHUNK + 1)
        return np.float64(sum(float(np.dot(part, part)) for part in parts))


def plain_history(update: Any) -> list[npt.NDArray[Any]]:
    """A rule's history as Caffe files it: slot by slot, parameter by parameter, row-major."""
    arena = update.arena
    return [arena.to_host(slot, segment) for slot in update.history for segment in arena.segments]


def restore_history(update: Any, arrays: Sequence[npt.NDArray[Any]], where: str) -> None:
    """Take back what `plain_history` returned.

    Args:
        update: whose history is restored.
        arrays: the arrays, in the order of `plain_history`.
        where: the file they came from, for errors.

    Raises:
        CafxError: arrays that do not fit the net or the rule.
    """
    segments = update.arena.segments
    found = [array.size for array in arrays]
    expected = [segment.parameter.blob.count_ for _ in update.history for segment in segments]
    if found != expected:
        counts = [f"{len(sizes)} histories of {sum(sizes)} values" for sizes in (found, expected)]
        raise CafxError(
            "this solverstate belongs to another net or solver type", where=where, found=counts[0], expected=counts[1]
        )
    for index, array in enumerate(arrays):
        segment = segments[index % len(segments)]
        update.arena.from_host(array, update.history[index // len(segments)], segment)
