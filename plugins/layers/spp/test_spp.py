"""SPP beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestSPP = layer_suite("SPP")


def test_images_of_any_size_have_vectors_of_equal_length() -> None:
    sizes = [(8, 8), (13, 9), (24, 31)]
    runs = [run_layer("SPP", [np.zeros((2, 3, *size))], options={"pyramid_height": 3}) for size in sizes]
    assert {run.tops[0].shape for run in runs} == {(2, 3 * 21)}


def test_planes_too_small_for_the_last_level_are_refused() -> None:
    with pytest.raises(CafxError, match="kernel"):
        run_layer("SPP", [np.zeros((1, 1, 3, 3))], options={"pyramid_height": 4})
