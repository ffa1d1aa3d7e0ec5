"""MemoryData: reading batches from arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, plugin_suite
from cafx.kernel import TEST, CafxError, Net, registry, schema

TestEpochsOfMemoryData = plugin_suite("data", "MemoryData")

TestMemoryData = layer_suite("MemoryData")

TEXT = """layer { name: "d" type: "MemoryData" top: "data" top: "label"
  memory_data_param { batch_size: 2 channels: 1 height: 3 width: 2 } }"""


def build() -> tuple[Net, Any]:
    net = Net(schema(registry()).parse_text(TEXT, "NetParameter"), TEST, engine="numpy")
    return net, net.layers[0]


def test_batches_are_read_repeatedly() -> None:
    net, layer = build()
    data, labels = np.arange(24, dtype=np.float32).reshape(4, 1, 3, 2), np.arange(4).reshape(4, 1, 1, 1)
    layer.reset(data, labels)
    for first in (0, 2, 0):
        net.run_forward()
        np.testing.assert_array_equal(net.blobs["data"].host(), data[first : first + 2])
        assert net.blobs["label"].host().tolist() == [first, first + 1]


def test_a_restored_layer_continues_whether_arrays_are_set_before_or_after() -> None:
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
def test_arrays_must_match_the_options(shape: tuple[int, ...]) -> None:
    with pytest.raises(CafxError, match="shape mismatch of the data"):
        build()[1].reset(np.zeros(shape))


def test_labels_must_match_the_data() -> None:
    with pytest.raises(CafxError, match="wrong number of labels: got 3, expected 2"):
        build()[1].reset(np.zeros((2, 1, 3, 2)), np.zeros(3))


def test_a_forward_pass_without_arrays_is_an_error() -> None:
    net, _ = build()
    with pytest.raises(CafxError, match="set_input_arrays"):
        net.run_forward()
