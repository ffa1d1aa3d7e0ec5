"""What a net says of arguments that it cannot use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx.kernel import TRAIN, CafxError, Net, schema

NET = """
force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "r" type: "ReLU" bottom: "x" top: "y" }
"""
NOT_NUMBERS = [None, "abc", [[1, 2], [3]], object(), {}, 1j * np.ones((2, 3)), np.array("2020", "M8"), b"12"]


@pytest.fixture
def net() -> Net:
    return Net(schema().parse_text(NET, "NetParameter"), TRAIN, engine="numpy")


@pytest.mark.parametrize("values", NOT_NUMBERS, ids=lambda values: type(values).__name__)
def test_what_is_not_numbers_is_refused_and_the_net_goes_on(net: Net, values: Any) -> None:
    with pytest.raises(CafxError, match=r"values for blob 'x' are not valid: got .*expected an array of real numbers"):
        net.forward(x=values)
    with pytest.raises(CafxError, match="values for blob 'y' are not valid"):
        net.backward(y=values)
    assert net.forward(x=np.ones((2, 3)))["y"].tolist() == [[1.0] * 3] * 2


def test_a_gradient_of_another_size_is_refused(net: Net) -> None:
    net.forward(x=np.ones((2, 3)))
    with pytest.raises(CafxError, match=r"'y'.*2×4.*2×3"):
        net.backward(y=np.zeros((2, 4)))


@pytest.mark.parametrize("name", ["nope", 3])
def test_a_layer_that_there_is_not_is_named(net: Net, name: Any) -> None:
    with pytest.raises(CafxError, match=f"has no layer '{name}': expected one of x, r"):
        net.forward(start=name)


@pytest.mark.parametrize("source", [None, 3, b"layer {}", ["net.prototxt"]])
def test_a_net_of_something_else_is_refused(source: Any) -> None:
    with pytest.raises(CafxError, match="expected the path of a prototxt, or a NetParameter message"):
        Net(source)


@pytest.mark.parametrize("source", [None, 3, ["weights.caffemodel"]])
def test_weights_of_something_else_are_refused(net: Net, source: Any) -> None:
    with pytest.raises(CafxError, match="expected a path, or a Net"):
        net.copy_from(source)


@pytest.mark.parametrize("dtype", ["int32", "float16", "complex64"])
def test_a_net_of_another_dtype_is_refused(dtype: str) -> None:
    with pytest.raises(CafxError, match=f"no such dtype: got {dtype}, expected float32 or float64"):
        Net(schema().parse_text(NET, "NetParameter"), dtype=dtype)
