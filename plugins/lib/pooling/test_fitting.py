"""Output sizes of pooling, by Caffe's rounding rules."""

import numpy as np
import pytest

from cafx.conformance import run_layer
from cafx.kernel import Layer
from cafx_lib_im2col import Window
from cafx_lib_pooling import make_pool


@pytest.fixture(scope="module")
def layer() -> Layer:
    return run_layer("Pooling", [np.zeros((1, 1, 2, 2))], options={"kernel_size": 1}).layer


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad", "floor", "outputs"),
    [
        (6, 2, 2, 0, False, 3),
        (6, 3, 2, 0, False, 3),  # the last window overhangs
        (6, 3, 2, 0, True, 2),
        (4, 2, 2, 1, False, 3),
        (3, 2, 2, 1, False, 2),  # a third window would start after the image
    ],
)
def test_output_sizes_follow_caffes_rounding(
    layer: Layer, size: int, kernel: int, stride: int, pad: int, floor: bool, outputs: int
) -> None:
    window = Window((kernel, kernel), (stride, stride), (pad, pad), (1, 1))
    assert make_pool(layer, "MAX", window, (size, size), floor).outputs == (outputs, outputs)


def test_a_window_over_the_whole_plane_is_searched_at_once(layer: Layer) -> None:
    whole = make_pool(layer, "MAX", Window((5, 7), (1, 1), (0, 0), (1, 1)), (5, 7))
    part = make_pool(layer, "MAX", Window((5, 6), (1, 1), (0, 0), (1, 1)), (5, 7))
    assert type(whole).__name__ == "WholePlanePool"
    assert type(part).__name__ == "MaxPool"
