"""Windows larger than their planes give the same as a search of each window, in time that follows the outputs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.conformance import run_layer
from cafx.kernel import TRAIN, Net, schema
from cafx_lib_im2col import Window
from cafx_lib_pooling import wide

LOWEST = np.finfo(np.float32).min
HUGE = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
layer { name: "y" type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 700 pad: 699 stride: 1 } }
"""


def searched(x: Any, kernel: int, stride: int, pad: int, outputs: tuple[int, ...]) -> Any:
    """For each window the index of its maximum, -1 for none."""
    picked = np.full((*x.shape[:2], *outputs), -1)
    for n, c, i, j in np.ndindex(picked.shape):
        best = LOWEST
        axes = zip((i, j), x.shape[2:], strict=True)
        rows, columns = (range(max(0, o * stride - pad), min(size, o * stride - pad + kernel)) for o, size in axes)
        for row, column in itertools.product(rows, columns):
            if x[n, c, row, column] > best:
                best, picked[n, c, i, j] = x[n, c, row, column], row * x.shape[3] + column
    return picked


@pytest.mark.parametrize(("kernel", "stride", "pad"), [(5, 1, 4), (6, 3, 5), (7, 2, 2), (4, 7, 3)])
def test_the_first_maximum_of_each_window_is_picked_and_gets_the_gradient(kernel: int, stride: int, pad: int) -> None:
    x = np.random.default_rng(kernel).integers(0, 3, (2, 2, 3, 4)).astype(np.float32)
    options = {"kernel_size": kernel, "stride": stride, "pad": pad}
    shape = run_layer("Pooling", [x], options=options, tops=2).tops[0].shape
    dy = np.random.default_rng(1).standard_normal(shape)
    run = run_layer("Pooling", [x], options=options, tops=2, top_diffs=[dy, np.zeros(shape)])
    picked = searched(x, kernel, stride, pad, shape[2:])
    np.testing.assert_array_equal(run.tops[1], picked)
    dx = np.zeros((4, 12))
    for plane, index, gradient in zip(
        np.repeat(np.arange(4), picked[0, 0].size), picked.reshape(-1), dy.reshape(-1), strict=True
    ):
        if index >= 0:
            dx[plane, index] += gradient
    np.testing.assert_allclose(run.bottom_diffs[0].reshape(4, 12), dx, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(*(st.integers(1, 6) for _ in range(3)), st.integers(0, 5), st.integers(1, 6), st.integers(1, 9))
def test_meetings_are_the_taps_seen_from_the_plane(
    kernel: int, stride: int, dilation: int, pad: int, inputs: int, outputs: int
) -> None:
    window = Window((kernel,), (stride,), (pad,), (dilation,))
    taps = {
        (place, output)
        for _, (to,), (at,) in window.taps((inputs,), (outputs,))
        for place, output in zip(range(inputs)[at], range(outputs)[to], strict=True)
    }
    met = wide.meetings(kernel, stride, pad, dilation, inputs, outputs)
    assert {(at, output) for at, to in met for output in range(outputs)[to]} == taps


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_a_huge_window_takes_passes_by_the_plane(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = HUGE.replace("stride: 1", f"stride: 1 pool: {method}")
    monkeypatch.setattr(Window, "taps", None)
    with Net(schema().parse_text(text, "NetParameter"), TRAIN, engine="numpy") as net:
        y = net.forward(x=np.arange(16).reshape(1, 1, 4, 4))["y"]
    assert y.shape == (1, 1, 703, 703)
    assert y[0, 0, 350, 350] == (15 if method == "MAX" else pytest.approx(120 / 700**2))
