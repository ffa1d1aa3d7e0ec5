"""Im2col beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestIm2col = layer_suite("Im2col")

PLANE = np.arange(12.0).reshape(1, 1, 3, 4)


def test_columns_are_ordered_by_channel_then_by_kernel_position() -> None:
    run = run_layer("Im2col", [np.stack([PLANE[0, 0], 100 + PLANE[0, 0]])[None]], options={"kernel_size": [2]})
    np.testing.assert_array_equal(run.tops[0][0, :, 0, 0], [0, 1, 4, 5, 100, 101, 104, 105])


def test_the_output_size_rounds_towards_zero_so_a_window_may_overhang() -> None:
    run = run_layer("Im2col", [PLANE], options={"kernel_h": 4, "kernel_w": 4, "stride_h": 2, "stride_w": 2})
    np.testing.assert_array_equal(run.tops[0][0, :, 0, 0], [*range(12), 0, 0, 0, 0])


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
def test_invalid_windows_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(CafxError, match="subject"):
        run_layer("Im2col", [PLANE], options=options)
