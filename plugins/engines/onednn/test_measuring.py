"""What the engine reports to ``cafx time``: reorders and the speed of a matrix product."""

from __future__ import annotations

import numpy as np
import pytest

from cafx.conformance.nets import net_of_text
from cafx.kernel import Phase, registry
from cafx_engine_onednn import OneDNN

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 16 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 32 kernel_size: 3 weight_filler { type: "msra" } } }
"""


def test_reorders_are_counted_and_timed() -> None:
    net = net_of_text(NET, Phase.TEST, engine="onednn")
    net.run_forward()
    before, seconds = net.engine.conversions()
    net.run_forward()
    assert net.engine.conversions() == (before, seconds)  # type: ignore[attr-defined]
    assert net.blobs["c"].data.shape == (2, 32, 6, 6)
    after, longer = net.engine.conversions()
    assert (after, longer > seconds) == (before + 1, True)


@pytest.mark.parametrize("size", [1, 33])
def test_gemm_multiplies_square_matrices(size: int) -> None:
    call = OneDNN(registry()).gemm(size)
    ones = np.ones(1, np.float32)
    for memory in call.arguments.values():  # type: ignore[attr-defined]
        memory.flat[...] = ones
    call()
    assert call.arguments[17].flat.max() == size  # type: ignore[attr-defined]
