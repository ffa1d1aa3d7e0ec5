"""Layers after one with a dynamic shape are reshaped and compiled again."""

from __future__ import annotations

import numpy as np
import pytest

from cafx.conformance.nets import net_of_text
from cafx.kernel import Engine, Phase, Routine, Unsupported, registry
from cafx.kernel.net import Compilation, LayerPlan

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "keep" type: "Input" top: "keep" input_param { shape { dim: 4 } } }
layer { name: "filter" type: "Filter" bottom: "x" bottom: "keep" top: "kept" }
layer { name: "twice" type: "Eltwise" bottom: "kept" bottom: "kept" top: "twice" }
layer { name: "sum" type: "Reduction" bottom: "twice" top: "sum" loss_weight: 0.5 }
"""


class ShapedRoutine(Routine):
    """Runs a layer plain, but only with the shapes it was compiled for."""

    def __init__(self, compilation: Compilation, planned: LayerPlan) -> None:
        if planned.layer.dynamic_shape:
            raise Unsupported("unknown shapes")
        super().__init__(compilation, planned)
        self.shapes = [blob.shape for blob in (*planned.bottoms, *planned.tops)]

    def forward(self) -> None:
        assert self.shapes == [blob.shape for blob in (*self.planned.bottoms, *self.planned.tops)]
        self.layer.forward(list(self.planned.bottoms), list(self.planned.tops))


class ShapedEngine(Engine):
    name = "shaped"

    def routine(self, compilation: Compilation, planned: LayerPlan) -> Routine:
        return ShapedRoutine(compilation, planned)


@pytest.mark.parametrize("keep", [[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0]])
@pytest.mark.parametrize("debug", [False, True])
def test_routines_after_a_dynamic_layer_are_compiled_again(keep: list[int], debug: bool) -> None:
    net = net_of_text(NET, Phase.TEST, engine=ShapedEngine(registry()))
    net.set_debug_info(debug)
    x = np.arange(12.0).reshape(4, 3)
    for selected in ([1, 1, 0, 0], keep, keep):
        net.forward(x=x, keep=np.array(selected))
        expected = 2 * x[np.array(selected) != 0]
        np.testing.assert_array_equal(net.blobs["twice"].data, expected)
        assert net.loss == expected.sum() / 2
