"""Axpy on the oneDNN engine, on the blocks of 16 channels that convolutions leave, or row-major."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Unsupported
from cafx_engine_onednn.api.constants import DataType
from cafx_engine_onednn.api.memory import MemoryDesc
from cafx_engine_onednn.exact import require_kernels
from cafx_engine_onednn.execution import NOTHING, Execution, Run
from cafx_engine_onednn.operands import Operand
from cafx_engine_onednn.routine import Accelerated
from cafx_engine_onednn.routines.convolution import ACTIVATIONS, BLOCK

if TYPE_CHECKING:
    from cafx.conformance.kinds.engine import EngineCase

SQUEEZED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 16 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {
  num_output: 32 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "excited" type: "Convolution" bottom: "pool" top: "excited" convolution_param {
  num_output: 32 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "gate" type: "Sigmoid" bottom: "excited" top: "gate" }
layer { name: "identity" type: "Convolution" bottom: "data" top: "identity" convolution_param {
  num_output: 32 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "subject" type: "Axpy" bottom: "gate" bottom: "conv" bottom: "identity" top: "sum" }
layer { name: "relu" type: "ReLU" bottom: "sum" top: "sum" }
layer { name: "last" type: "Pooling" bottom: "sum" top: "last" pooling_param { kernel_size: 2 pool: AVE } }
"""


class Axpy(Accelerated):
    """y = a x + z in one pass over x and z; da, dx and dz in one over dy and x."""

    def choose(self) -> None:
        """The layout of x, if it has blocks of 16 whole channels, else row-major memory."""
        require_kernels()
        _, x, _ = self.bottoms
        if self.engine.type != DataType.F32:
            raise Unsupported("bfloat16")
        shape, tag = x.shape, ACTIVATIONS.get(x.num_axes)
        self.desc = MemoryDesc.plain((x.count_,))
        self.blocked = False
        if tag is not None and shape[1] % BLOCK == 0:
            blocks = MemoryDesc.tagged(shape, tag, DataType.F32)
            self.blocked = self.build.layout_of(x) == blocks
            self.desc = blocks if self.blocked else self.desc
        self.build.set_layout(self.tops[0], self.desc if self.blocked else None)

    def _program(self, needed: tuple[bool, bool, bool] | None, **memory: Operand) -> Any:
        from .scaled_sum import Rows, program  # needs llvmlite, which is not everywhere

        planes, per_row = self.bottoms[0].count_, BLOCK if self.blocked else 1
        rows = Rows(planes // per_row, self.bottoms[1].count_ // planes * per_row, self.blocked)
        return program(memory, rows, needed, threads=self.build.threads, scratch=self.build.scratch.floats)

    def _values(self, blob: Blob) -> Operand:
        return Operand(blob.synced_data, self.desc)

    def make_forward(self) -> Run:
        """One kernel."""
        factors = _factors(self.bottoms[0].synced_data, self.bottoms[0])
        x, z, y = map(self._values, (*self.bottoms[1:], self.tops[0]))
        return Execution([factors, x, z], [self._program(None, factors=factors, x=x, z=z, y=y)], [y])

    def make_backward(self) -> Run:
        """One kernel for the gradients that are needed."""
        needed = tuple(map(bool, self.propagate_down))
        if not any(needed):
            return NOTHING
        gate, x, z = self.bottoms
        factors, data = _factors(gate.synced_data, gate), self._values(x)
        dy = Operand(self.tops[0].synced_diff, self.desc)
        diffs = {
            "factor_diffs": _factors(gate.synced_diff, gate),
            "x": Operand(x.synced_diff, self.desc),
            "z": Operand(z.synced_diff, self.desc),
        }
        written = {name: each for (name, each), used in zip(diffs.items(), needed, strict=True) if used}
        program = self._program(needed, factors=factors, data=data, y=dy, **written)  # type: ignore[arg-type]
        return Execution([factors, data, dy], [program], list(written.values()))

    @classmethod
    def cases(cls) -> Iterable[EngineCase]:
        """A block that squeezes and excites, between convolutions."""
        from cafx.conformance.kinds.engine import EngineCase

        yield EngineCase("squeezed", SQUEEZED)


def _factors(storage: Any, blob: Blob) -> Operand:
    """One factor per image and channel, row-major."""
    return Operand(storage, MemoryDesc.plain((blob.count_,)))
