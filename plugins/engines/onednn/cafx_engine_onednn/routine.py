"""What the engine's routines have in common: layouts chosen when made, calls prepared when first run."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cafx.kernel import Blob, CafxError, Layer, Routine, Unsupported
from cafx.kernel.blob import SyncedArray
from cafx.kernel.net import Step

from .api.constants import Alg, Arg
from .api.library import DnnlError
from .api.memory import Memory, MemoryDesc
from .api.pointwise import binary, eltwise_backward, eltwise_forward
from .api.primitives import Call, PrimitiveDesc, Program
from .operands import Operand

if TYPE_CHECKING:
    from .engine import OneDNN

SLOW = ("ref", "simple:any")
Run = Callable[[], None]
_thread = threading.get_ident


class Pass:
    """Operands brought up to date, calls made, results declared: one direction of one routine.

    Args:
        reads: what the calls read (or add to).
        runs: the calls, and whatever else is to be run between them.
        writes: what they write, all of it.
    """

    def __init__(self, reads: Iterable[Operand], runs: Sequence[Run], writes: Iterable[Operand]) -> None:
        self.reads, self.writes = tuple(reads), tuple(writes)
        self.runs = tuple(_joined(runs))

    def __call__(self) -> None:
        """Run it."""
        for each in self.reads:
            synced = each.synced
            if each.place not in synced.current or synced.arrays[each.place] is not each.array:
                each.fresh()
        for run in self.runs:
            run()
        for each in self.writes:
            each.wrote()


def _joined(runs: Sequence[Run]) -> Iterable[Run]:
    """Calls in a row as one program."""
    calls: list[Call] = []
    for run in runs:
        if isinstance(run, Call):
            calls.append(run)
            continue
        if calls:
            yield Program(calls)
            calls = []
        yield run
    if calls:
        yield Program(calls)


class Accelerated(Routine):
    """A routine of oneDNN primitives.

    Subclasses choose primitives and layouts in `plan`, and prepare calls in `make_forward` and
    `make_backward`, which run when first needed: a routine that a fusion replaces costs nothing.

    Args:
        engine, layer, step: as for `Routine`.
        fused: what the routine does besides, by a rewrite; see `fusing`.
    """

    engine: OneDNN
    layer: Any
    binds: ClassVar[bool] = False
    """Whether all data it ever reads is bound as operands when `make_forward` and `make_backward` run."""

    def __init__(self, engine: OneDNN, layer: Layer, step: Step, **fused: Any) -> None:
        super().__init__(engine, layer, step)
        self.fused = fused
        self.held: dict[Any, Any] = {}
        self._forward: Run | None = None
        self._backward: Run | None = None
        blobs = (*step.bottom, *step.top)
        if any(blob.dtype != np.float32 for blob in blobs):
            raise Unsupported("only float32")
        if any(not blob.count_ for blob in blobs):
            raise Unsupported("an empty batch")
        engine.enter()
        engine.routines.add(self)
        try:
            self.plan()
        except DnnlError as error:
            raise Unsupported(str(error)) from error

    def plan(self) -> None:
        """Choose primitives and tell the tops' layouts; `Unsupported` where there are none."""
        raise NotImplementedError

    def make_forward(self) -> Run:
        """Prepare forward."""
        raise NotImplementedError

    def make_backward(self) -> Run:
        """Prepare backward."""
        raise NotImplementedError

    def forward(self) -> None:
        """Write the tops' data."""
        if _thread() != self.engine.thread:
            self.engine.enter()
        if self._forward is None:
            self.prepare("forward")
        assert self._forward
        self._forward()

    def backward(self) -> None:
        """Write the bottoms' diffs asked for; add to the parameters' diffs."""
        if _thread() != self.engine.thread:
            self.engine.enter()
        if self._backward is None:
            self.prepare("backward")
        assert self._backward
        self._backward()

    def prepare(self, way: str) -> None:
        """Make the calls of one direction, if they are not made yet."""
        self.engine.plan_memory()
        if way == "forward" and self._forward is None:
            self._forward = self.make_forward()
        elif way == "backward" and self._backward is None:
            if not self.training:
                raise CafxError(
                    "there is no way back through this layer",
                    where=self.layer.where,
                    remedy='make the net with keep="all", or in TRAIN phase',
                )
            self._backward = self.make_backward()

    def after_forward(self, run: Run) -> None:
        """Let something more be done behind forward, which is prepared."""
        assert self._forward
        self._forward = several([self._forward, run])

    def release(self) -> None:
        """Let go of calls and memory: the schedule has been made anew."""
        self._forward = self._backward = None
        self.held.clear()

    def kept(self, arg: int, desc: MemoryDesc) -> dict[int, Memory]:
        """Memory that forward leaves for backward, as an argument; nothing where there is none."""
        if not desc.size:
            return {}
        if arg not in self.held:
            self.held[arg] = Memory(desc)
        return {arg: self.held[arg]}

    def aliases(self) -> Sequence[tuple[SyncedArray, SyncedArray]]:
        """Bottoms' diffs that lie in the memory of a top's."""
        return ()

    @property
    def training(self) -> bool:
        """Whether forward must leave what backward needs."""
        return self.engine.goes_back and bool(self.fused.get("training", self.step.needs_backward))

    def layout(self, blob: Blob) -> MemoryDesc:
        """How a blob's values lie where its writer left them: blocked, or row-major."""
        return self.engine.home(blob) or MemoryDesc.plain(blob.shape or (1,), self.engine.type)

    def flat_layout(self, blob: Blob) -> MemoryDesc:
        """The same, a row-major blob seen as one long axis: for what works value by value."""
        return self.engine.home(blob) or MemoryDesc.plain((blob.count_,))

    def call(self, desc: PrimitiveDesc, arguments: Mapping[int, Operand | Memory]) -> Call:
        """A primitive bound to operands, with the shared scratchpad."""
        memory = {arg: each.bind() if isinstance(each, Operand) else each for arg, each in arguments.items()}
        scratch = self.engine.scratch.argument(desc)
        return desc.build().prepare(self.engine.stream, memory | scratch)

    def mask_by(self, data: Operand, diff: Operand, result: Operand | Memory, slope: float) -> Call:
        """A unit's gradient from its output: result = diff where data > 0, slope · diff elsewhere."""
        desc = data.desc
        forward = eltwise_forward(Alg.RELU, desc, desc, slope)
        backward = eltwise_backward(Alg.RELU_DST, desc, desc, desc, forward, slope)
        return self.call(backward, {Arg.DST: data, Arg.DIFF_DST: diff, Arg.DIFF_SRC: result})

    def own_diff(self, blob: Blob, desc: MemoryDesc) -> Operand:
        """A blob's gradient for changing: apart, where other blobs' gradients lie in the same memory."""
        return Operand(blob.synced_diff, desc, own=blob.synced_diff in self.engine.aliased)


class Unary(Accelerated):
    """Forward by one primitive, with bottom and top in the same layout.

    Attributes:
        ahead: the primitive.
        desc: the layout.
    """

    binds = True

    ahead: PrimitiveDesc
    desc: MemoryDesc

    def make_forward(self) -> Run:
        """One primitive."""
        x = Operand(self.step.bottom[0].synced_data, self.desc)
        y = Operand(self.step.top[0].synced_data, self.desc)
        return Pass([x], [self.call(self.ahead, {Arg.SRC: x, Arg.DST: y})], [y])


class Gradients:
    """The gradients of parameters: overwritten where they are still zero, else added to.

    Args:
        routine: whose they are.
        targets: the argument, the parameter's diff and the layout of each.
    """

    def __init__(self, routine: Accelerated, targets: Mapping[int, tuple[SyncedArray, MemoryDesc]]) -> None:
        self.routine = routine
        self.operands = {arg: Operand(synced, desc) for arg, (synced, desc) in targets.items()}
        self._arrays = [each.synced for each in self.operands.values()]

    def runs(self, prepare: Callable[[Mapping[int, Any]], Sequence[Run]], reads: Sequence[Operand]) -> Run:
        """From a maker of the calls for given targets, what chooses between writing and adding."""
        held = tuple(self.operands.values())
        first = Pass(reads, prepare(self.operands), held)
        added: list[Run] = []

        def add() -> Run:
            apart = {arg: self.routine.engine.spare(arg, each.desc) for arg, each in self.operands.items()}
            sums = [self._sum(each, apart[arg]) for arg, each in self.operands.items()]
            return Pass((*reads, *held), [*prepare(apart), *sums], held)

        def run() -> None:
            if all(array.zero for array in self._arrays):
                first()
                return
            if not added:
                added.append(add())
            added[0]()

        return run

    def _sum(self, target: Operand, addend: Memory) -> Call:
        desc = target.desc
        made = binary(Alg.BINARY_ADD, desc, desc, desc)
        return self.routine.call(made, {Arg.SRC: target, Arg.SRC_1: addend, Arg.DST: target})


def pick(*makers: Callable[[], PrimitiveDesc], prefer: str = "") -> PrimitiveDesc:
    """The first primitive that is not oneDNN's slow reference one, and whose name begins as preferred."""
    if prefer:
        for make in makers:
            with contextlib.suppress(DnnlError):
                desc = make()
                while not desc.implementation.startswith(prefer):
                    if not desc.next():
                        break
                else:
                    return desc
    refused: list[str] = []
    for make in makers:
        try:
            desc = make()
        except DnnlError as error:
            refused.append(str(error))
            continue
        while desc.implementation.startswith(SLOW):
            refused.append(f"{desc.where}: only {desc.implementation}")
            if not desc.next():
                break
        else:
            return desc
    raise Unsupported(refused[0] if refused else "no primitive")


def several(runs: Sequence[Run]) -> Run:
    """Runs one after another."""
    if len(runs) == 1:
        return runs[0]

    def run() -> None:
        for each in runs:
            each()

    return run
