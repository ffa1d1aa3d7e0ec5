"""What the engine tells about itself, for ``cafx time``."""

from __future__ import annotations

import numpy as np
import pytest

from cafx.kernel import Net, Phase, registry, schema
from cafx_engine_onednn import OneDNN

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 16 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 32 kernel_size: 3 weight_filler { type: "msra" } } }
"""


def test_changes_of_layout_are_counted() -> None:
    net = Net(schema().parse_text(NET, "NetParameter"), Phase.TEST, engine="onednn")
    net.run_forward()
    before, seconds = net.engine.conversions()
    net.run_forward()
    assert net.engine.conversions() == (before, seconds), "all is in its place"  # type: ignore[attr-defined]
    assert net.blobs["c"].data.shape == (2, 32, 6, 6)
    after, longer = net.engine.conversions()
    assert (after, longer > seconds) == (before + 1, True)


@pytest.mark.parametrize("size", [1, 33])
def test_the_product_multiplies(size: int) -> None:
    call = OneDNN(registry()).gemm(size)
    ones = np.ones(1, np.float32)
    for memory in call.arguments.values():  # type: ignore[attr-defined]
        memory.flat[...] = ones
    call()
    assert call.arguments[17].flat.max() == size  # type: ignore[attr-defined]
