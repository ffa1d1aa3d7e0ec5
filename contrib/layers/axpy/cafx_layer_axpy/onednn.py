"""Axpy on the oneDNN engine, on the blocks of 16 channels that convolutions leave, or row-major."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx_engine_onednn.execution import Run
from cafx_engine_onednn.routine import Accelerated
from cafx_engine_onednn.routines.row_scaling import RowScaling

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
        self.scaling = RowScaling(self, 0, 1, 2)

    def make_forward(self) -> Run:
        """One kernel."""
        return self.scaling.forward()

    def make_backward(self) -> Run:
        """One kernel for the gradients that are needed."""
        return self.scaling.backward()

    @classmethod
    def cases(cls) -> Iterable[EngineCase]:
        """A block that squeezes and excites, between convolutions."""
        from cafx.conformance.kinds.engine import EngineCase

        yield EngineCase("squeezed", SQUEEZED)
