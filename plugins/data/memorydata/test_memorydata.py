"""MemoryData under the shared suite, and with arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite
from cafx.kernel import TEST, CafxError, Net, registry, schema

TestMemoryData = layer_suite("MemoryData")

TEXT = """layer { name: "d" type: "MemoryData" top: "data" top: "label"
  memory_data_param { batch_size: 2 channels: 1 height: 3 width: 2 } }"""


def build() -> tuple[Net, Any]:
    net = Net(schema(registry()).parse_text(TEXT, "NetParameter"), TEST, engine="numpy")
    return net, net.layers[0]


def test_batches_go_round() -> None:
    net, layer = build()
    data, labels = np.arange(24, dtype=np.float32).reshape(4, 1, 3, 2), np.arange(4).reshape(4, 1, 1, 1)
    layer.reset(data, labels)
    for first in (0, 2, 0):
        net.run_forward()
        np.testing.assert_array_equal(net.blobs["data"].host(), data[first : first + 2])
        assert net.blobs["label"].host().tolist() == [first, first + 1]


def test_it_goes_on_where_it_stood_whether_arrays_come_before_or_after() -> None:
    data = np.arange(36, dtype=np.float32).reshape(6, 1, 3, 2)
    net, layer = build()
    layer.reset(data)
    net.run_forward()
    state = net.state()
    for order in ("restore", "reset"), ("reset", "restore"):
        other, fresh = build()
        for step in order:
            other.restore(state) if step == "restore" else fresh.reset(data)
        other.run_forward()
        np.testing.assert_array_equal(other.blobs["data"].host(), data[2:4])


@pytest.mark.parametrize("shape", [(3, 1, 3, 2), (2, 1, 2, 3), (0, 1, 3, 2), (4,)])
def test_arrays_that_do_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(CafxError, match="cannot use these arrays"):
        build()[1].reset(np.zeros(shape))


def test_labels_that_do_not_fit_and_no_arrays_at_all() -> None:
    net, layer = build()
    with pytest.raises(CafxError, match="cannot use these labels"):
        layer.reset(np.zeros((2, 1, 3, 2)), np.zeros(3))
    with pytest.raises(CafxError, match="set_input_arrays"):
        net.run_forward()
