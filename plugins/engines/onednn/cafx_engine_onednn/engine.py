"""The engine: oneDNN's primitives on the processor."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from cafx.kernel import CafxError, Engine, Registry
from cafx.kernel.net import Compilation, LayerPlan, MemoryPlan, Program, Routine, Step, Unsupported

from .api.constants import Arg, DataType
from .api.library import load, unavailable
from .api.memory import Memory, MemoryDesc, Stream
from .api.primitives import Scratchpad
from .api.products import matmul
from .build import Build
from .fusion import fuse
from .layouts import reorders
from .program import JoinedProgram
from .slices import lay_out
from .threads import limit_blas, physical_threads

PRECISIONS = {"float32": DataType.F32, "bf16": DataType.BF16}
SIZE, TRIALS = 512, 5
"""Of the products by which precisions are compared."""
log = logging.getLogger("cafx.onednn")


class OneDNN(Engine):
    """oneDNN on the processor: blocked memory between layers, fused steps, prepared calls.

    With precision bf16 activations, weights and the operands of their products are bfloat16; sums
    are float32, as are the weights that are learned, their gradients, statistics and the loss.

    Args:
        plugins: where routines are found.
        precision: ``float32`` or ``bf16``.
        threads: number of threads; by default OMP_NUM_THREADS, else the physical cores.
        device: not used.

    Raises:
        CafxError: bf16 on a processor that cannot multiply it.
    """

    name: ClassVar[str] = "onednn"
    priority: ClassVar[int] = 10
    precisions: ClassVar[tuple[str, ...]] = tuple(PRECISIONS)
    compilation: ClassVar[type[Compilation]] = Build
    program: ClassVar[type[Program]] = JoinedProgram

    def __init__(
        self, plugins: Registry, *, precision: str = "float32", threads: int | None = None, device: int = 0
    ) -> None:
        super().__init__(plugins, precision=precision, threads=threads or physical_threads(), device=device)
        if precision == "bf16" and not load().has_bf16:
            raise CafxError(
                "precision bf16 cannot run here: the processor has neither AVX512-BF16 nor AMX", remedy="use float32"
            )
        limit_blas(self.threads)
        if precision == "bf16":
            tell_if_bf16_is_slower()
        self.type = PRECISIONS[precision]
        self.stream = Stream()

    @classmethod
    def unavailable(cls) -> str | None:
        """Why oneDNN cannot run here, or None."""
        return unavailable()

    def routine(self, compilation: Compilation, planned: LayerPlan) -> Routine:
        """The routine for a layer; the tops of a layer without one are row-major again."""
        try:
            return super().routine(compilation, planned)
        except Unsupported:
            read = {bottom.synced_data for bottom in planned.bottoms}
            for top in planned.tops:
                if isinstance(compilation, Build) and top.synced_data not in read:
                    compilation.set_layout(top, None)
            raise

    def fuse(self, compilation: Compilation, steps: Sequence[Step]) -> Sequence[Step]:
        """Layers joined where one primitive does the work of several."""
        return fuse(steps)

    def plan_memory(self, compilation: Compilation, steps: Sequence[Step]) -> MemoryPlan:
        """Which arrays share memory; what is concatenated is computed in its place, if possible."""
        plan = super().plan_memory(compilation, steps)
        found = (getattr(routine, "slices", None) for step in steps for routine in step.routines)
        return lay_out(plan, filter(None, found))

    def conversions(self) -> tuple[int, float]:
        """How many reorders this thread has run, and the seconds they took."""
        counted = reorders()
        return counted.count, counted.seconds

    def gemm(self, size: int) -> Callable[[], None]:
        """A call that multiplies two square matrices in the engine's precision."""
        return square_product(size, self.type, self.stream)


def square_product(size: int, kind: DataType, stream: Stream) -> Callable[[], None]:
    """A call that multiplies two square matrices."""
    desc = MemoryDesc.any((size, size), kind)
    product = matmul(desc, desc, None, desc)
    memory = {arg: Memory(product.argument(arg)) for arg in (Arg.SRC, Arg.WEIGHTS, Arg.DST)}
    return product.build().prepare(stream, memory | Scratchpad().argument(product))


@functools.cache
def tell_if_bf16_is_slower() -> None:
    """Warn, once per process, where bfloat16 is multiplied more slowly than float32: some processors emulate it."""
    seconds = {}
    for name, kind in PRECISIONS.items():
        multiply, times = square_product(SIZE, kind, Stream()), []
        for _ in range(TRIALS):
            begin = time.perf_counter()
            multiply()
            times.append(time.perf_counter() - begin)
        seconds[name] = min(times)
    speed = seconds["float32"] / seconds["bf16"]
    if speed < 1:
        log.warning("precision bf16 multiplies at %.2f times the speed of float32 on this processor", speed)
