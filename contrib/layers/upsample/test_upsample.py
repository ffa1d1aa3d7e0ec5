"""Upsample beyond the conformance suite."""

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestUpsample = layer_suite("Upsample")

X = np.arange(1.0, 5.0).reshape(1, 1, 2, 2)
MASK = np.array([0.0, 2, 13, 15]).reshape(1, 1, 2, 2)


def test_values_return_to_where_the_maximum_was() -> None:
    run = run_layer("Upsample", [X, MASK])
    np.testing.assert_array_equal(run.tops[0][0, 0], [[1, 0, 2, 0], [0] * 4, [0] * 4, [0, 3, 0, 4]])


def test_of_equal_indices_the_last_is_written_and_all_have_its_gradient() -> None:
    run = run_layer("Upsample", [X, 0 * MASK], top_diffs=[np.full((1, 1, 4, 4), 3.0)])
    assert run.tops[0].ravel().tolist() == [4] + [0] * 15
    np.testing.assert_array_equal(run.bottom_diffs[0], 3 * np.ones_like(X))


def test_without_a_mask_pixels_are_repeated() -> None:
    run = run_layer("Upsample", [X], options={"scale": 2}, top_diffs=[np.arange(16.0).reshape(1, 1, 4, 4)])
    np.testing.assert_array_equal(run.tops[0][0, 0], [[1, 1, 2, 2]] * 2 + [[3, 3, 4, 4]] * 2)
    np.testing.assert_array_equal(run.bottom_diffs[0][0, 0], [[10, 18], [42, 50]])


@pytest.mark.parametrize(
    ("bottoms", "options", "message"),
    [
        ([X, 4 * MASK], {}, "(?s)the mask points out of the top.*indices from 0 to 60"),
        ([X, MASK[..., :1]], {}, "shape mismatch at the mask"),
        ([X], {"scale_h": 2, "scale_w": 2}, "scale_h needs a mask"),
        ([X, MASK], {"upsample_h": 4}, "only one of upsample_h and upsample_w"),
        ([X, MASK], {"scale": 2, "scale_h": 2, "scale_w": 2}, "both scale and scale_h"),
        ([X], {"scale": 0}, "the top is empty"),
        ([X[0], MASK[0]], {}, "wrong number of axes"),
    ],
)
def test_what_does_not_fit_is_refused(bottoms: list[Any], options: dict[str, int], message: str) -> None:
    with pytest.raises(CafxError, match=message):
        run_layer("Upsample", bottoms, options=options)
