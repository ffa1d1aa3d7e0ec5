"""Reorg beyond the conformance suite."""

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestReorg = layer_suite("Reorg")


def darknet(values: Any, stride: int, reverse: bool) -> Any:
    """The values in darknet's order, one by one."""
    channels, height, width = values.shape[1:]
    few, result = channels // stride**2, np.zeros(values.size)
    for n, k, j, i in np.ndindex(*values.shape):
        block, channel = divmod(k, few)
        down, right = divmod(block, stride)
        row, column = j * stride + down, i * stride + right
        pixel = column + width * stride * (row + height * stride * (channel + few * n))
        here = i + width * (j + height * (k + channels * n))
        target, source = (pixel, here) if reverse else (here, pixel)
        result[target] = values.flat[source]
    return result


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("stride", "shape"), [(2, (2, 8, 4, 6)), (3, (1, 18, 3, 6))])
def test_the_order_is_darknets(stride: int, shape: tuple[int, ...], reverse: bool) -> None:
    x = np.arange(float(np.prod(shape))).reshape(shape)
    run = run_layer("Reorg", [x], options={"stride": stride, "reverse": reverse})
    np.testing.assert_array_equal(run.tops[0].ravel(), darknet(x, stride, reverse))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "stride is missing"),
        ({"stride": 3}, "channels are not divisible"),
        ({"stride": 2}, "does not divide the image"),
    ],
)
def test_an_unfit_stride_is_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(CafxError, match=message):
        run_layer("Reorg", [np.zeros((1, 4, 3, 4))], options=options)
