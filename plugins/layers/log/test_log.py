"""Log beyond the conformance suite."""

from pathlib import Path

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import TRAIN, CafxError, Net

TestLog = layer_suite("Log")

IN_PLACE = """
force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }
layer { name: "log" type: "Log" bottom: "x" top: "x" log_param { scale: 2 } }
"""


def test_base_ten_gives_decimal_logarithms() -> None:
    run = run_layer("Log", [np.array([0.0, 0.9, 9.9])], options={"base": 10.0, "scale": 10.0, "shift": 1.0})
    np.testing.assert_allclose(run.tops[0], [0, 1, 2], atol=1e-6)


@pytest.mark.parametrize("base", [0.0, 1.0, -2.0])
def test_an_invalid_base_is_refused(base: float) -> None:
    with pytest.raises(CafxError, match="option 'base'"):
        run_layer("Log", [np.ones(3)], options={"base": base})


def test_the_in_place_gradient_is_the_square_of_its_factor_as_in_caffe(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(IN_PLACE)
    net = Net(tmp_path / "net.prototxt", TRAIN, engine="numpy")
    y = net.forward(x=np.array([1.0, 2.0]))["x"]
    dx = net.backward(x=np.array([5.0, 7.0]))["x"]
    np.testing.assert_allclose(dx, (1 / y) ** 2, rtol=1e-6)
