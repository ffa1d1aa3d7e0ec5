"""What the engine's routines share: layouts chosen when created, calls prepared before they first run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import attrs
import numpy as np

from cafx.kernel import Blob, Unsupported
from cafx.kernel.blob import SyncedArray
from cafx.kernel.net import Access, LayerPlan, Reference, Routine

from .api.constants import Alg, Arg
from .api.library import DnnlError
from .api.memory import Memory, MemoryDesc, zeroed
from .api.pointwise import binary
from .api.primitives import PrimitiveDesc
from .build import Build
from .exact import valuewise
from .execution import Execution, Invocation, Run, Work
from .operands import Bindable, Operand
from .recording import Recording, join
from .slices import Slices
from .threads import use_threads

SLOW = ("ref", "simple:any")


@attrs.frozen(eq=False)
class Residual:
    """A sum that a convolution or a normalisation computes as part of itself.

    Attributes:
        addend: the blob added to the result.
        top: the blob that holds the sum.
        down: whether the addend's gradient is needed.
        readers: where the sum is split, the blobs that others read; their gradients are summed, too.
    """

    addend: Blob
    top: Blob
    down: bool = False
    readers: tuple[Blob, ...] = ()


@attrs.frozen(eq=False)
class Fusion:
    """What a routine computes besides its own layer.

    Attributes:
        needs_backward: whether any of the fused layers runs backward.
        slope: negative slope of a ReLU behind the layer; None without one.
        slopes: negative slopes of a PReLU behind the layer, one per channel; None without one.
        relu_gradient_elsewhere: whether another routine computes that ReLU's gradient.
        batch_norm: a BatchNorm layer, by running statistics, folded into the weights.
        top: what that layer writes, where it is not in place.
        scale: what has the factors and shifts behind a BatchNorm layer: a Scale layer, or a part of the layer itself.
        residual: a sum behind the layer.
    """

    needs_backward: bool = False
    slope: float | None = None
    slopes: Blob | None = None
    relu_gradient_elsewhere: bool = False
    batch_norm: Any = None
    top: Blob | None = None
    scale: Any = None
    residual: Residual | None = None


UNFUSED = Fusion()


@attrs.frozen(eq=False)
class Left:
    """What forward has left for backward.

    Attributes:
        held: memory by key.
        kept: memory of operands.
        attributes: values by name.
    """

    held: Mapping[int, Any]
    kept: Sequence[Any]
    attributes: Mapping[str, Any]


class Accelerated(Routine):
    """A routine of oneDNN primitives.

    Subclasses choose primitives and layouts in `choose`, and describe the passes in `make_forward`
    and `make_backward`, which are asked for when memory is planned or the pass first runs: a routine
    that a fusion replaces costs no more than the choice.

    Args:
        compilation: the net being compiled.
        planned: the layer.
        fusion: what the routine computes besides.

    Raises:
        Unsupported: no fast primitive for the layer at these shapes.
    """

    compilation: Build
    carried: ClassVar[tuple[str, ...]] = ()
    """Attributes that forward leaves for backward: memory, or values."""
    takes: ClassVar[frozenset[str]] = frozenset()
    """The fields of `Fusion` it can compute."""
    slices: Slices | None = None
    """What it concatenates, if the parts' memory may be slices of the whole's; known once its accesses are."""

    def __init__(self, compilation: Build, planned: LayerPlan, fusion: Fusion = UNFUSED) -> None:
        super().__init__(compilation, planned)
        self.build, self.engine, self.fusion = compilation, compilation.engine, fusion
        self.bottoms, self.tops, self.propagate_down = planned.bottoms, planned.tops, planned.propagate_down
        self._held: dict[int, Memory] = {}
        self._passes: dict[bool, Run] = {}
        self._released = False
        blobs = (*planned.bottoms, *planned.tops)
        if any(blob.dtype != np.float32 for blob in blobs):
            raise Unsupported("only float32")
        if any(not blob.count_ for blob in blobs):
            raise Unsupported("an empty batch")
        use_threads(self.build.threads)
        try:
            self.choose()
        except DnnlError as error:
            raise Unsupported(str(error)) from error

    def choose(self) -> None:
        """Choose primitives and state the tops' layouts; `Unsupported` where there are none."""
        raise NotImplementedError

    def make_forward(self) -> Run:
        """The forward pass."""
        raise NotImplementedError

    def make_backward(self) -> Run:
        """The backward pass."""
        raise NotImplementedError

    @cached_property
    def reference(self) -> Reference:
        """The layer as its author wrote it, for values that the primitives cannot do; its errors name file and line."""
        return Reference(self.build, self.planned)

    def _run(self, *, backward: bool) -> Run:
        """The pass of one direction, with memory for what forward leaves for backward."""
        if self._released:
            self._restore()
        if backward not in self._passes:
            self._passes[backward] = self.make_backward() if backward else self.make_forward()
        return self._passes[backward]

    def forward(self) -> None:
        """Write the tops' data."""
        use_threads(self.build.threads)
        run = None if self._released else self._passes.get(False)
        (run or self._run(backward=False))()

    def backward(self) -> None:
        """Write the bottoms' diffs that are needed; add to the parameters' diffs."""
        use_threads(self.build.threads)
        run = None if self._released else self._passes.get(True)
        (run or self._run(backward=True))()

    def join(self, recording: Recording) -> bool:
        """Write down what forward calls, as it has run."""
        return join(None if self._released else self._passes.get(False), recording)

    def accesses(self, *, backward: bool) -> Sequence[Access]:
        """What it reads and writes in one direction, in order."""
        use_threads(self.build.threads)
        return self._run(backward=backward).accesses

    @property
    def _kept(self) -> list[Any]:
        """The operands whose memory backward uses as forward left it."""
        run = self._passes.get(True)
        return [use for access in run.accesses for use in access.keeps] if run is not None else []

    def left(self) -> Any:
        """Memory that it holds for backward, and attributes."""
        held = {arg: memory.array for arg, memory in self._held.items()}
        attributes = {name: getattr(self, name) for name in self.carried}
        return Left(held, [each.array for each in self._kept], attributes)

    def take(self, left: Any) -> None:
        """Hold that memory, and set these attributes."""
        for arg, array in left.held.items():
            self._held[arg].rebind(array)
        for operand, array in zip(self._kept, left.kept, strict=True):
            operand.point(array)
        for name, value in left.attributes.items():
            if isinstance(value, Memory):
                getattr(self, name).flat[:] = value.flat
            else:
                setattr(self, name, value)
        self._released = False

    def release(self) -> None:
        """Let go of memory."""
        for run in self._passes.values():
            run.release()
        for memory in self._held.values():
            memory.release()
        self._released = bool(self._held)

    def _restore(self) -> None:
        """Allocate what forward leaves for backward again."""
        for memory in self._held.values():
            memory.rebind(zeroed(memory.desc.size))
        self._released = False

    def held(self, arg: int, desc: MemoryDesc) -> dict[int, Memory]:
        """Memory that forward leaves for backward, as an argument; nothing where there is none."""
        if not desc.size:
            return {}
        if arg not in self._held:
            self._held[arg] = Memory(desc)
        return {arg: self._held[arg]}

    @property
    def nbytes(self) -> int:
        """Bytes it holds between passes."""
        return sum(memory.desc.size for memory in self._held.values())

    @property
    def training(self) -> bool:
        """Whether forward must leave what backward needs."""
        return self.build.plan.has_backward and (self.planned.needs_backward or self.fusion.needs_backward)

    def layout(self, blob: Blob) -> MemoryDesc:
        """How a blob's writer leaves it: blocked, or row-major."""
        return self.build.layout_of(blob) or MemoryDesc.plain(blob.shape or (1,), self.engine.type)

    def flat_layout(self, blob: Blob) -> MemoryDesc:
        """The same, with a row-major blob as one long axis: for what works value by value."""
        return self.build.layout_of(blob) or MemoryDesc.plain((blob.count_,))

    def call(self, desc: PrimitiveDesc, arguments: Mapping[int, Bindable]) -> Invocation:
        """A primitive with operands, and the net's scratchpad."""
        return Invocation(self.build, desc, arguments)

    def relu_gradient(self, data: Bindable, diff: Bindable, result: Bindable, slope: float) -> Work:
        """A ReLU's gradient from its input or output: diff where data > 0, slope · diff where data ≤ 0."""
        return valuewise(self.build, "relu_gradient", data, diff, result, slope)

    def own_diff(self, blob: Blob, desc: MemoryDesc) -> Operand:
        """A blob's gradient for changing: apart, if other blobs' gradients are in the same memory."""
        return Operand(blob.synced_diff, desc, apart=blob.synced_diff in self.build.aliased)


class Unary(Accelerated):
    """Forward by one primitive, with bottom and top in the same layout.

    Attributes:
        forward_desc: the primitive.
        desc: the layout.
    """

    forward_desc: PrimitiveDesc
    desc: MemoryDesc

    def make_forward(self) -> Run:
        """One primitive."""
        x = Operand(self.bottoms[0].synced_data, self.desc)
        y = Operand(self.tops[0].synced_data, self.desc)
        return Execution([x], [self.call(self.forward_desc, {Arg.SRC: x, Arg.DST: y})], [y])


class Gradients:
    """The gradients of parameters: overwritten while they are still zero, else added to.

    Args:
        routine: whose they are.
        targets: the argument, the parameter's diff and the layout of each.
        calls: makes the calls that write to given targets.
        reads: what these read.
        writes: what they write besides.
        keeps: as for `Execution`.
    """

    def __init__(
        self,
        routine: Accelerated,
        targets: Mapping[int, tuple[SyncedArray, MemoryDesc]],
        calls: Callable[[Mapping[int, Bindable]], Sequence[Work]],
        reads: Sequence[Operand],
        writes: Sequence[Operand] = (),
        keeps: Sequence[Operand] = (),
    ) -> None:
        self._routine, self._calls = routine, calls
        self._reads, self._writes, self._keeps = reads, tuple(writes), keeps
        self._operands = {arg: Operand(storage, desc) for arg, (storage, desc) in targets.items()}
        self._results = tuple(self._operands.values())
        self._first = Execution(reads, calls(self._operands), (*self._results, *writes), keeps=keeps)
        self._further: Execution | None = None

    @property
    def accesses(self) -> list[Access]:
        """What they read and write."""
        return self._first.accesses

    def release(self) -> None:
        """Let go of memory."""
        for execution in filter(None, (self._first, self._further)):
            execution.release()

    def __call__(self) -> None:
        """Write the gradients, or add to them."""
        if all(each.storage.is_zero for each in self._results):
            self._first()
            return
        if self._further is None:
            self._further = self._adding()
        self._further()

    def _adding(self) -> Execution:
        scratch = self._routine.build.scratch
        apart = {arg: scratch(f"parameter gradient {arg}", each.desc) for arg, each in self._operands.items()}
        sums = [self._sum(each, apart[arg]) for arg, each in self._operands.items()]
        work = [*self._calls(apart), *sums]
        return Execution((*self._reads, *self._results), work, (*self._results, *self._writes), keeps=self._keeps)

    def _sum(self, target: Operand, addend: Memory) -> Invocation:
        desc = target.desc
        add = binary(Alg.BINARY_ADD, desc, desc, desc)
        return self._routine.call(add, {Arg.SRC: target, Arg.SRC_1: addend, Arg.DST: target})


def pick(*makers: Callable[[], PrimitiveDesc], prefer: str = "") -> PrimitiveDesc:
    """The first primitive that is not one of oneDNN's slow reference implementations.

    Args:
        makers: create the candidates, best first.
        prefer: what the implementation's name should begin with, if any candidate's does.

    Raises:
        Unsupported: there is none.
    """
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
