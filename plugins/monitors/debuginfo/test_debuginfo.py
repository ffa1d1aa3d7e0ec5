"""The lines of debug_info."""

import logging

import numpy as np
import pytest

from cafx.kernel import Net, schema

NET = """
debug_info: true force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 2 weight_filler { value: 0.5 } } }
"""


def test_each_pass_logs_the_mean_magnitude_of_its_outputs(caplog: pytest.LogCaptureFixture) -> None:
    net = Net(schema().parse_text(NET, "NetParameter"), engine="numpy")
    with caplog.at_level(logging.INFO, "cafx.net"):
        net.forward(x=np.array([[1.0, -1, 2], [0, 0, 0]]))
        net.backward(y=np.array([[1.0, 0], [0, -3]]))
    assert [line.strip() for line in caplog.messages] == [
        "[Forward] Layer x, top blob x data: 0.666667",
        "[Forward] Layer ip, top blob y data: 0.5",
        "[Forward] Layer ip, param blob 0 data: 0.5",
        "[Forward] Layer ip, param blob 1 data: 0",
        "[Backward] Layer ip, bottom blob x diff: 1",
        "[Backward] Layer ip, param blob 0 diff: 0.666667",
        "[Backward] Layer ip, param blob 1 diff: 2",
    ]
    net.set_debug_info(False)
    assert net.observer is None
