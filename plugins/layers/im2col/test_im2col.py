"""What the shared suite cannot know of Im2col, and of the windows it shares."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError
from cafx_layer_im2col import Window, meetings

TestIm2col = layer_suite("Im2col")

PLANE = np.arange(12.0).reshape(1, 1, 3, 4)


def test_columns_are_ordered_by_channel_then_by_place_in_the_window() -> None:
    run = run_layer("Im2col", [np.stack([PLANE[0, 0], 100 + PLANE[0, 0]])[None]], options={"kernel_size": [2]})
    np.testing.assert_array_equal(run.tops[0][0, :, 0, 0], [0, 1, 4, 5, 100, 101, 104, 105])


def test_a_last_window_may_hang_over_where_the_division_is_cut_off() -> None:
    run = run_layer("Im2col", [PLANE], options={"kernel_h": 4, "kernel_w": 4, "stride_h": 2, "stride_w": 2})
    np.testing.assert_array_equal(run.tops[0][0, :, 0, 0], [*range(12), 0, 0, 0, 0])


@pytest.mark.parametrize(("kernel", "stride", "pad", "dilation"), [(3, 2, 4, 2), (1, 3, 0, 1), (4, 1, 1, 0)])
def test_meetings_are_those_of_the_definition(kernel: int, stride: int, pad: int, dilation: int) -> None:
    inputs, outputs = 5, 6
    expected = {
        (k, o, o * stride + k * dilation - pad)
        for k in range(kernel)
        for o in range(outputs)
        if 0 <= o * stride + k * dilation - pad < inputs
    }
    found = {
        (k, o, i)
        for k, to, at in meetings(kernel, stride, pad, dilation, inputs, outputs)
        for o, i in zip(range(outputs)[to], range(inputs)[at], strict=True)
    }
    assert found == expected


def test_places_that_see_pad_alone_cost_nothing() -> None:
    assert [k for k, _, _ in meetings(2**32 - 1, 1, 2**31, 1, 3, 2)] == list(range(2**31 - 1, 2**31 + 3))


def test_outputs_and_inputs_of_a_window_belong_together() -> None:
    window = Window((3, 2), (2, 3), (1, 0), (2, 1))
    assert window.outputs(window.inputs((4, 5))) == (4, 5)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_h": 2},
        {"kernel_size": [2], "stride_w": 2},
        {"kernel_size": [2, 2, 2]},
        {"kernel_size": [5]},
        {"kernel_size": [2], "axis": 3},
        {"kernel_size": [2], "axis": 2, "pad_h": 1},
    ],
)
def test_windows_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(CafxError, match="subject"):
        run_layer("Im2col", [PLANE], options=options)
