"""MergeCrop beyond the conformance suite."""

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestMergeCrop = layer_suite("MergeCrop")

RNG = np.random.default_rng(5)
SMALL, LARGE = RNG.standard_normal((2, 3, 4, 2)), RNG.standard_normal((2, 3, 6, 5))


@pytest.mark.parametrize("added", [False, True])
def test_the_second_bottom_is_cropped_in_its_middle(added: bool) -> None:
    top = run_layer(
        "MergeCrop", [SMALL, LARGE], options={"operation": "ADD" if added else "STACK"}, dtype=np.float64
    ).tops[0]
    for n, c, i, j in np.ndindex(*SMALL.shape):
        second = LARGE[n, c, i + 1, j + 1]
        if added:
            assert top[n, c, i, j] == SMALL[n, c, i, j] + second
        else:
            assert (top[n, c, i, j], top[n, 3 + c, i, j]) == (SMALL[n, c, i, j], second)


def test_by_default_the_second_bottom_has_no_gradient() -> None:
    diff = RNG.standard_normal((2, 6, 4, 2))
    first, second = run_layer("MergeCrop", [SMALL, LARGE], top_diffs=[diff], dtype=np.float64).bottom_diffs
    np.testing.assert_array_equal(first, diff[:, :3])
    np.testing.assert_array_equal(second, 0)


def test_a_bottom_that_is_not_read_counts_as_zeros() -> None:
    top = run_layer("MergeCrop", [SMALL, LARGE], options={"forward": [0]}, dtype=np.float64).tops[0]
    np.testing.assert_array_equal(top[:, :3], 0)
    np.testing.assert_array_equal(top[:, 3:], LARGE[:, :, 1:5, 1:3])


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        ([(2, 3, 4), (1, 3, 4)], {}),
        ([(2, 3, 4), (2, 3, 3)], {}),
        ([(2, 3, 4), (2, 3)], {}),
        ([(2,), (2,)], {}),
        ([(2, 3, 4), (2, 2, 4)], {"operation": "ADD"}),
        ([(2, 3, 4), (2, 3, 4)], {"forward": [1, 1, 1]}),
    ],
)
def test_bottoms_that_do_not_match_are_refused(shapes: list[Any], options: dict[str, Any]) -> None:
    with pytest.raises(CafxError, match=r"do not match|too many"):
        run_layer("MergeCrop", [np.zeros(shape) for shape in shapes], options=options)
