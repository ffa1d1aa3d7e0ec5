"""The engine: what the routines of one net share, and the rewrites of its schedule."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, cast

from cafx.kernel import Blob, CafxError, Engine, Layer, Registry, Unsupported
from cafx.kernel.blob import SyncedArray
from cafx.kernel.net import Layout, Routine, Step

from .api.constants import Arg, DataType
from .api.library import load, unavailable
from .api.memory import Memory, MemoryDesc, Stream, aligned
from .api.primitives import Scratch
from .api.products import matmul
from .fusion import fuse
from .layouts import Blocked, is_row_major, reorders
from .planning import plan_activations, plan_gradients
from .threads import set_threads, wanted_threads
from .updating import Threaded

PRECISIONS = {"float32": DataType.F32, "bf16": DataType.BF16}


class OneDNN(Engine):
    """oneDNN on the processor: blocked memory between layers, fused steps, prepared calls.

    Args:
        plugins: where routines are found.
        threads: how many to use; default OMP_NUM_THREADS, else the physical cores.
    """

    name: ClassVar[str] = "onednn"
    priority: ClassVar[int] = 10
    precisions: ClassVar[tuple[str, ...]] = tuple(PRECISIONS)

    def __init__(
        self, plugins: Registry, *, precision: str = "float32", threads: int | None = None, device: int = 0
    ) -> None:
        super().__init__(plugins, precision=precision, threads=threads or wanted_threads(), device=device)
        if precision == "bf16" and not load().has_bf16:
            raise CafxError(
                "precision bf16 cannot run here: the processor has neither AVX512-BF16 nor AMX", remedy="use float32"
            )
        self.thread = 0
        self.type = PRECISIONS[precision]
        self.enter()
        self.stream = Stream()
        self.scratch = Scratch()
        self.aliased: weakref.WeakSet[SyncedArray] = weakref.WeakSet()
        self._homes: weakref.WeakKeyDictionary[SyncedArray, MemoryDesc] = weakref.WeakKeyDictionary()
        self._parameters: weakref.WeakKeyDictionary[SyncedArray, Blocked] = weakref.WeakKeyDictionary()
        self._spares: dict[int, tuple[Any, weakref.WeakSet[Memory]]] = {}
        self.goes_back = True
        self.pooled = 0
        self.routines: set[Any] = set()
        self._unplanned: list[Step] = []
        self.kept: Sequence[Blob] | None = None

    @classmethod
    def unavailable(cls) -> str | None:
        """Why oneDNN cannot run here, or None."""
        return unavailable()

    def enter(self) -> None:
        """Set the number of threads, which OpenMP keeps for each calling thread."""
        set_threads(self.threads)
        self.thread = threading.get_ident()

    def routine(self, layer: Layer, step: Step) -> Routine:
        """The routine of the layer's type; what it writes plain is at home on the host again."""
        try:
            return super().routine(layer, step)
        except Unsupported:
            for top in step.top:
                if not any(top.synced_data is bottom.synced_data for bottom in step.bottom):
                    self._homes.pop(top.synced_data, None)
            raise

    def retain(self, kept: Sequence[Blob] | None, *, backward: bool) -> None:
        """What must be kept decides which memory may be shared, and what forward must leave behind."""
        self.kept, self.goes_back = kept, backward
        for routine in self.routines:
            routine.release()
        self.routines.clear()

    def rewrite(self, steps: list[Step]) -> list[Step]:
        """Layers joined where one primitive does the work of several."""
        self._unplanned = fuse(self, steps)
        return self._unplanned

    def plan_memory(self) -> None:
        """Before anything runs: let what nobody keeps share memory."""
        steps, self._unplanned = self._unplanned, []
        if steps and self.kept is not None:
            prepare = plan_gradients if self.goes_back else plan_activations
            self.pooled = prepare(steps, self.kept)

    def layout(self, parameter: Blob) -> Layout | None:
        """The layout the parameter's primitives want."""
        return cast(Layout | None, self._parameters.get(parameter.synced_data))

    def wants(self, parameter: Blob, place: Any) -> None:
        """Note the layout a parameter is best kept in."""
        if isinstance(place, Blocked):
            self._parameters[parameter.synced_data] = place

    def home(self, blob: Blob) -> MemoryDesc | None:
        """The blocked layout a blob's writer leaves it in, or None: row-major."""
        desc = self._homes.get(blob.synced_data)
        return desc if desc is not None and desc.dims == blob.shape else None

    def settle(self, blob: Blob, desc: MemoryDesc) -> None:
        """Say how a blob's writer leaves it."""
        if is_row_major(desc):
            self._homes.pop(blob.synced_data, None)
        else:
            self._homes[blob.synced_data] = desc

    def spare(self, slot: int, desc: MemoryDesc) -> Memory:
        """Memory that lasts for one call, the same for all who ask for one slot."""
        array, memories = self._spares.get(slot, (aligned(0), weakref.WeakSet()))
        if array.nbytes < desc.size:
            array = aligned(desc.size)
            for each in list(memories):
                each.rebind(array)
            self._spares[slot] = array, memories
        memory = Memory(desc, array)
        memories.add(memory)
        return memory

    def reorders(self) -> tuple[int, float]:
        """How many changes of layout there have been in this thread, and the seconds they took."""
        done = reorders()
        return done.count, done.seconds

    def product(self, size: int) -> Callable[[], None]:
        """What multiplies two square matrices in the engine's precision when called."""
        desc = MemoryDesc.any((size, size), self.type)
        made = matmul(desc, desc, None, desc)
        memory = {arg: Memory(made.argument(arg)) for arg in (Arg.SRC, Arg.WEIGHTS, Arg.DST)}
        return made.build().prepare(self.stream, memory | self.scratch.argument(made))

    def updater(self, updater: Any) -> Callable[[float, float, int], None] | None:
        """The solver's own routine, where there is one for its type and options; else its rule on all threads."""
        kind, name = f"engine.{self.name}", updater.options.type
        if name in self.plugins.names(kind):
            with contextlib.suppress(Unsupported):
                made: Callable[[float, float, int], None] = self.plugins.load(kind, name)(self, updater)
                return made
        return Threaded(updater, self.threads) if Threaded.pays(updater, self.threads) else None
