"""The engine: cuDNN and own kernels on channels-last memory.

As for the engine it builds on, what it needs once it is created is imported there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from cafx.kernel import Registry
from cafx.kernel.net import Compilation, LayerPlan, Routine, Step, Unsupported
from cafx_engine_cupy import CuPy

if TYPE_CHECKING:
    from cafx_engine_cupy.program import ScratchBuffers

DETERMINISTIC_SETTING = "CAFX_DETERMINISTIC"


class CuDNN(CuPy):
    """cuDNN on a GPU: channels-last memory, fused steps, the fastest plan for each product.

    Which of cuDNN's plans computes a product fastest is found out when a net first runs, and kept in
    the folder ``cudnn`` of ``$CAFX_CACHE``, else of ``~/.cache/cafx``.

    With ``float32`` products are exact to float32; with ``tf32`` their operands are rounded to 10 bits
    of mantissa; with ``bf16`` activations and the operands of products are bfloat16, while sums,
    weights that are learned, their gradients, statistics and the loss are float32. ``tf32`` is
    recommended for training.

    Args:
        plugins: where routines and update rules are found.
        precision: ``float32``, ``tf32`` or ``bf16``.
        threads: not used.
        device: index of the GPU.

    Raises:
        CafxError: no GPU of that index, or another precision.
    """

    name: ClassVar[str] = "cudnn"
    priority: ClassVar[int] = 20
    precisions: ClassVar[tuple[str, ...]] = ("float32", "tf32", "bf16")
    modules: ClassVar[tuple[str, ...]] = ("cupy", "cudnn")

    def __init__(
        self, plugins: Registry, *, precision: str = "float32", threads: int | None = None, device: int = 0
    ) -> None:
        from cafx_engine_cudnn.places import RowMajor
        from cafx_engine_cudnn.plans import Plans, Rules
        from cafx_engine_cudnn.precision import Precision

        super().__init__(plugins, precision=precision, threads=threads, device=device)
        self.place = RowMajor(self.session)
        self.arithmetic = Precision(self.session, precision)
        deterministic = os.environ.get(DETERMINISTIC_SETTING, "0") not in ("", "0")
        self.plans = Plans(self.session, Rules(self.arithmetic.strict, deterministic))

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Versions of the software, by name."""
        import cudnn

        version = cudnn.backend_version()
        return super().versions() | {"cuDNN": f"{version // 10000}.{version % 10000 // 100}.{version % 100}"}

    @property
    def compilation(self) -> type[Compilation]:
        """What its routines share while a net is compiled and run."""
        from cafx_engine_cudnn.build import Build

        return Build

    def routine(self, compilation: Any, planned: LayerPlan) -> Routine:
        """The routine for a layer; the tops of a layer without one are row-major again."""
        try:
            return super().routine(compilation, planned)
        except Unsupported:
            read = {bottom.synced_data for bottom in planned.bottoms}
            for top in planned.tops:
                if top.synced_data not in read:
                    compilation.writes(top, self.place)
            raise

    def fuse(self, compilation: Compilation, steps: Sequence[Step]) -> Sequence[Step]:
        """Layers joined where one kernel does the work of several."""
        from cafx_engine_cudnn.fusion import fuse

        return fuse(steps)

    def scratch_of(self, compilation: Any) -> list[ScratchBuffers]:
        """The scratch buffers whose addresses graphs contain."""
        return [*super().scratch_of(compilation), compilation.scratch]
