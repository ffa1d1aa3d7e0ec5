"""Program: a compiled net. Running a pass is walking its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, Protocol

import attrs

from cafx.kernel.blob import Blob
from cafx.kernel.errors import CafxError
from cafx.kernel.net.arena import Arena
from cafx.kernel.net.memory import Access, MemoryPlan
from cafx.kernel.net.parameters import Parameter, learnable
from cafx.kernel.net.plan import LayerPlan, NetPlan
from cafx.kernel.net.routine import Routine


@attrs.frozen(eq=False)
class Step:
    """One entry of a program: one layer or, after a fusion, several, and the routines that run them.

    Attributes:
        layers: the layers, in order.
        routines: run one after the other in forward, in reverse order in backward.
        note: why no faster routine runs the layer, what was fused, or which algorithm is used.
    """

    layers: tuple[LayerPlan, ...]
    routines: tuple[Routine, ...]
    note: str = ""

    @property
    def name(self) -> str:
        """The layers' names, joined by ``+``."""
        return "+".join(planned.layer.name for planned in self.layers)

    @property
    def first(self) -> int:
        """Index of the first layer."""
        return self.layers[0].index

    @property
    def last(self) -> int:
        """Index of the last layer."""
        return self.layers[-1].index

    @property
    def run_by(self) -> str:
        """``plain`` for a layer as written, else the engine's name."""
        return self.routines[0].name

    @property
    def needs_backward(self) -> bool:
        """Whether the backward pass runs it."""
        return any(planned.needs_backward for planned in self.layers)

    @property
    def bottoms(self) -> tuple[Blob, ...]:
        """The blobs that come from outside."""
        made = {self.layers[0].tops[0]} if len(self.layers) > 1 else set()
        made |= {top for planned in self.layers[1:] for top in planned.tops}
        later = (bottom for planned in self.layers[1:] for bottom in planned.bottoms if bottom not in made)
        return (*self.layers[0].bottoms, *later)

    @property
    def tops(self) -> tuple[Blob, ...]:
        """The blobs it hands on."""
        return self.layers[-1].tops

    @property
    def losses(self) -> list[tuple[Blob, float]]:
        """The tops that count in the objective, with their weights."""
        return [loss for planned in self.layers for loss in planned.losses]

    @property
    def is_dynamic(self) -> bool:
        """Whether its tops' shapes are known only after its forward."""
        return any(planned.layer.dynamic_shape for planned in self.layers)

    @property
    def is_capturable(self) -> bool:
        """Whether all its layers run on a device alone, so that an engine may record it."""
        return all(planned.layer.capturable for planned in self.layers)

    def accesses(self, *, backward: bool) -> list[Access]:
        """What its routines read and write in one direction, in order."""
        routines = reversed(self.routines) if backward else self.routines
        return [access for routine in routines for access in routine.accesses(backward=backward)]

    def forward(self) -> None:
        """Run forward."""
        for routine in self.routines:
            routine.forward()

    def backward(self) -> None:
        """Run backward."""
        for routine in reversed(self.routines):
            routine.backward()


class Observer(Protocol):
    """Per-step callbacks of a pass."""

    def forward(self, step: Step) -> None:
        """A step has run forward."""

    def backward(self, step: Step) -> None:
        """A step has run backward."""

    def update(self) -> None:
        """The parameters are about to be updated."""


class Update(Protocol):
    """One solver's update of an arena: see `cafx.kernel.training.Update`."""

    history: Sequence[Any]
    ranks: int
    exchange: Callable[[], object]

    def run(self, rate: float, iteration: int) -> None:
        """Update every parameter from its accumulated gradient."""

    first_not_finite: Any
    """The first iteration after which a parameter was not finite, an int32 in the arena's place that
    `run` keeps; None for an update whose `finite` must be asked."""

    def norm(self) -> Any:
        """The L2 norm of all gradients, a value in the arena's place."""

    def finite(self) -> Any:
        """Whether every parameter is finite, a value in the arena's place."""


MakeArena = Callable[[Sequence[Parameter]], Arena]
MakeUpdate = Callable[[Any, Any, Arena], Update]
Run = Callable[[], object]


class Program:
    """A net compiled for its present shapes.

    Args:
        plan: the net.
        parts: one step per layer, unfused: a range that cuts a fusion runs them.
        steps: the steps, fused.
        memory: where the steps' buffers are.
        make_arena: from the learned parameters to their arena: `Engine.arena`.
        make_update: from rule, options and arena to what updates it: `Engine.updater`.

    Attributes:
        plan, parts, steps, memory: as above.

    Example:
        >>> from cafx.kernel import Net, schema
        >>> text = '''
        ... layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }
        ... layer { name: "relu" type: "ReLU" bottom: "x" top: "y" }'''
        >>> net = Net(schema().parse_text(text, "NetParameter"), engine="numpy")
        >>> [(step.name, step.run_by) for step in net.program.steps]
        [('x', 'plain'), ('relu', 'plain')]
        >>> net.blobs["x"].set_data([-1, 2])
        >>> last = net.program.forward()
        >>> net.blobs["y"].data.tolist()
        [0.0, 2.0]
    """

    def __init__(
        self,
        plan: NetPlan,
        parts: Sequence[Step],
        steps: Sequence[Step],
        memory: MemoryPlan,
        *,
        make_arena: MakeArena,
        make_update: MakeUpdate,
    ) -> None:
        self.plan = plan
        self.parts = tuple(parts)
        self.steps = tuple(steps)
        self.memory = memory
        self._make_arena = make_arena
        self._make_update = make_update
        self._simple = not any(step.is_dynamic for step in self.steps)
        self._forward = self.schedule(self.forward_runs(), backward=False)
        self._backward = self.schedule(self.backward_runs(), backward=True)

    def forward_runs(self) -> Iterator[tuple[Step, list[Run]]]:
        """The calls of each step of a whole forward pass: routines, losses, copies no longer needed."""
        for index, step in enumerate(self.steps):
            losses: list[Run] = [] if index else [partial(self.plan.loss.fill, 0)]
            losses += [partial(self._add_losses, step)] if step.losses else []
            yield step, [*(routine.forward for routine in step.routines), *losses, *self._discards(index)]

    def backward_runs(self) -> Iterator[tuple[Step, list[Run]]]:
        """The calls of each step of a whole backward pass."""
        needed = [step for step in reversed(self.steps) if step.needs_backward and self.plan.has_backward]
        for index, step in enumerate(needed, start=len(self.steps)):
            yield step, [*(routine.backward for routine in reversed(step.routines)), *self._discards(index)]

    def schedule(self, runs: Iterable[tuple[Step, list[Run]]], *, backward: bool) -> list[Run]:
        """What a whole pass calls, one after the other; engines that record steps override this.

        Args:
            runs: the calls of each step, in order.
            backward: whether they are those of a backward pass.
        """
        return [run for _, calls in runs for run in calls]

    def _discards(self, index: int) -> list[Run]:
        """Invalidate the copies whose memory belongs to others after a step."""
        expired = self.memory.expired[index] if self.memory.expired else ()
        return [partial(buffer.storage.discard, buffer.place) for buffer in expired]

    @cached_property
    def arena(self) -> Arena:
        """All learned parameters in one flat array; made when first asked for, and kept by later programs."""
        if self.plan.arena is not None:
            return self.plan.arena
        arena = self._make_arena(learnable(self.plan.parameters))
        self._release_routines()  # what they hold of the parameters' old memory
        self.attach()
        return arena

    @property
    def arena_if_made(self) -> Arena | None:
        """The arena, or None if nobody has asked for it."""
        made: Arena | None = self.__dict__.get("arena", self.plan.arena)
        return made

    def updater(self, rule: Any, options: Any) -> Update:
        """What updates the parameters: the engine's fused form of a rule, or the rule over the arena.

        Args:
            rule: the solver plugin's `UpdateRule`.
            options: the SolverParameter.
        """
        return self._make_update(rule, options, self.arena)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays in use while passes run: parameters and their diffs, blobs, what routines hold.

        Layers' own buffers and a solver's history come on top.
        """
        parameters = {p.blob.synced_data for p in learnable(self.plan.parameters)}
        parameters |= {p.blob.synced_diff for p in learnable(self.plan.parameters) if self.plan.has_backward}
        copies = dict.fromkeys(parameters, 0)
        blobs = 0
        for buffer in self.memory.buffers:
            if buffer.storage in copies:
                copies[buffer.storage] += buffer.nbytes
            elif not buffer.shared:
                blobs += buffer.nbytes
        learned = sum(max(nbytes, storage.nbytes) for storage, nbytes in copies.items())
        return learned + blobs + self.memory.pool + self.memory.held

    def attach(self) -> None:
        """Allocate the pools and take its memory into use."""
        pools = {place.memory: place.allocate_bytes(nbytes) for place, nbytes in self.memory.pools}
        for buffer in self.memory.buffers:
            if buffer.shared:
                raw = pools[buffer.place.memory][buffer.offset : buffer.offset + buffer.nbytes]
                array = buffer.place.view(raw, buffer.storage.count, buffer.storage.dtype)
                for use in buffer.uses:
                    use.attach(array)

    def resume(self, left: Sequence[Sequence[Any]]) -> None:
        """Continue a pass that has begun in another program.

        Args:
            left: what the steps that have run have left there: see `release`.
        """
        for step, states in zip(self.steps, left, strict=False):
            for routine, state in zip(step.routines, states, strict=True):
                routine.take(state)

    def release(self, first: int = 0) -> list[list[Any]]:
        """Give the memory back before another program takes over.

        Args:
            first: index of the first layer that has not run in the present pass.

        Returns:
            What each routine of the steps before has left for backward, for `resume` of the other program.
        """
        left = [[routine.left() for routine in step.routines] for step in self.steps if step.last < first]
        for buffer in self.memory.buffers:
            if buffer.shared:
                for use in buffer.uses:
                    use.storage.detach()
        self._release_routines()
        return left

    def _release_routines(self) -> None:
        for step in (*self.parts, *self.steps):
            for routine in step.routines:
                routine.release()

    def forward(
        self, first: int = 0, last: int | None = None, observer: Observer | None = None, *, resume: bool = False
    ) -> int:
        """Run layers forward; a fusion that the range cuts runs as its parts.

        Args:
            first, last: indices of the first and the last layer; None for the net's last.
            observer: called after each step.
            resume: whether this continues a pass; its objective is then added to.

        Returns:
            The index of the last layer that has run: before ``last`` where the shape of a dynamic
            layer's tops has changed, so that what follows must be reshaped and compiled first.
        """
        last = len(self.parts) - 1 if last is None else last
        if self.is_whole(first, last, observer) and not resume:
            for run in self._forward:
                run()
            return last
        if not resume:
            self.plan.loss[...] = 0
        for step in self._between(first, last):
            before = [top.shape for top in step.tops]
            step.forward()
            self._add_losses(step)
            if observer is not None:
                observer.forward(step)
            if step.is_dynamic and before != [top.shape for top in step.tops]:
                return step.last
        return last

    def backward(self, last: int | None = None, first: int = 0, observer: Observer | None = None) -> None:
        """Run layers backward, from ``last`` down to ``first``; arguments as for `forward`.

        Raises:
            CafxError: the net was built for inference.
        """
        if not self.plan.has_backward:
            raise CafxError(
                "backward pass unavailable: the net was built for inference",
                remedy='build the net with keep="all", or in TRAIN phase',
            )
        last = len(self.parts) - 1 if last is None else last
        if observer is None and first == 0 and last == len(self.parts) - 1:
            for run in self._backward:
                run()
            return
        for step in reversed(self._between(first, last)):
            if step.needs_backward:
                step.backward()
                if observer is not None:
                    observer.backward(step)

    def is_whole(self, first: int = 0, last: int | None = None, observer: Observer | None = None) -> bool:
        """Whether a forward pass over this range runs all steps, with nobody watching and no shape changing."""
        whole = first == 0 and last in (None, len(self.parts) - 1)
        return self._simple and whole and observer is None

    def _add_losses(self, step: Step) -> None:
        """Add a step's losses to the objective."""
        loss = self.plan.loss
        for top, weight in step.losses:
            total = top.data.reshape(()) if top.count_ == 1 else top.data.sum()
            loss += step.layers[-1].layer.xp.multiply(total, weight, dtype=loss.dtype)

    def backward_by_step(self, done: Callable[[Step], object]) -> None:
        """Run all layers backward.

        Args:
            done: called after each step, when the gradients of its parameters are complete.
        """
        for step, calls in self.backward_runs():
            for call in calls:
                call()
            done(step)

    def _between(self, first: int, last: int) -> list[Step]:
        """The steps from layer ``first`` to layer ``last``; a fusion that either cuts as its parts."""
        whole = [step for step in self.steps if first <= step.first and step.last <= last]
        covered = {index for step in whole for index in range(step.first, step.last + 1)}
        cut = [step for step in self.parts if first <= step.first <= last and step.first not in covered]
        return sorted(whole + cut, key=lambda step: step.first)
