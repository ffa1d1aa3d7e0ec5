"""ROIPooling on the oneDNN engine, in the blocks of 16 channels that convolutions leave."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Unsupported
from cafx_engine_onednn.api.constants import Arg, DataType
from cafx_engine_onednn.api.memory import MemoryDesc
from cafx_engine_onednn.exact import require_kernels
from cafx_engine_onednn.execution import NOTHING, Deferred, Execution, Run
from cafx_engine_onednn.operands import Operand
from cafx_engine_onednn.routine import Accelerated
from cafx_engine_onednn.routines.convolution import ACTIVATIONS

if TYPE_CHECKING:
    from cafx.conformance.kinds.engine import EngineCase

EXAMPLE = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 8 } } }
layer { name: "which" type: "Input" top: "which" input_param { shape { dim: 5 dim: 1 } } }
layer { name: "corners" type: "Input" top: "corners" input_param { shape { dim: 5 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param {
  num_output: 32 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } param { lr_mult: 0 } param { lr_mult: 0 } }
layer { name: "first" type: "Power" bottom: "which" top: "first" power_param { scale: 0 } }
layer { name: "join" type: "Concat" bottom: "first" bottom: "corners" top: "rois" }
layer { name: "subject" type: "ROIPooling" bottom: "conv" bottom: "rois" top: "y" roi_pooling_param {
  pooled_h: 2 pooled_w: 3 spatial_scale: 3 } }
layer { name: "ip" type: "InnerProduct" bottom: "y" top: "z" inner_product_param {
  num_output: 4 weight_filler { type: "xavier" } } }
"""


class ROIPooling(Accelerated):
    """One kernel per pass."""

    def choose(self) -> None:
        """Blocks of 16 channels."""
        require_kernels()
        if self.training and self.propagate_down[1]:
            raise Unsupported("the gradient of regions")
        if self.training and self.engine.type != DataType.F32:
            raise Unsupported("its gradient in bfloat16")
        (features, _), (top,), layer = self.bottoms, self.tops, self.layer
        self.x, self.y = (MemoryDesc.tagged(each.shape, ACTIVATIONS[4], self.engine.type) for each in (features, top))
        bins = (layer.options.pooled_h, layer.options.pooled_w)
        self._table = np.zeros((top.shape[0], 1 + 2 * sum(bins)), np.int64)
        self.build.set_layout(top, self.y)

    def make_forward(self) -> Run:
        """Find the bins, then their maxima."""
        x, y = Operand(self.bottoms[0].synced_data, self.x), Operand(self.tops[0].synced_data, self.y)
        return Execution([x, self._regions()], [self._read_regions, self._program(x, y, backward=False)], [y])

    def make_backward(self) -> Run:
        """Add each gradient where the maximum is."""
        if not self.propagate_down[0]:
            return NOTHING
        dx, dy = Operand(self.bottoms[0].synced_diff, self.x), Operand(self.tops[0].synced_diff, self.y)
        return Execution([dy, self._regions()], [self._read_regions, self._program(dx, dy, backward=True)], [dx])

    def _regions(self) -> Operand:
        return Operand(self.bottoms[1].synced_data, MemoryDesc.plain(self.bottoms[1].shape))

    def _read_regions(self) -> None:
        image, rows, columns = self.layer.bounds(list(self.bottoms))
        self._table[:, 0] = image
        ends = np.concatenate([np.stack(rows, axis=-1), np.stack(columns, axis=-1)], axis=1)
        self._table[:, 1:] = ends.reshape(len(ends), -1)

    def _program(self, x: Operand, y: Operand, *, backward: bool) -> Deferred:
        positions = (
            self.held(Arg.WORKSPACE, MemoryDesc.plain((math.prod(y.desc.padded_dims),))) if self.training else {}
        )

        def prepare() -> Any:
            from .kernels import program  # needs llvmlite, which is not everywhere

            kind = {"backward": backward, "bfloat16": self.engine.type == DataType.BF16}
            common = {"threads": self.build.threads, "scratch": self.build.scratch.floats}
            return program(x, y, positions.get(Arg.WORKSPACE), self._table, **kind, **common)

        return Deferred(prepare)

    @classmethod
    def cases(cls) -> Iterable[EngineCase]:
        """Between a convolution and an inner product."""
        from cafx.conformance.kinds.engine import EngineCase

        yield EngineCase("after-a-convolution", EXAMPLE)
