"""Transpose beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestTranspose = layer_suite("Transpose")

VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def test_axis_i_of_the_top_is_the_axis_listed_there() -> None:
    run = run_layer("Transpose", [VALUES], options={"dim": [2, 0, 1]})
    assert all(run.tops[0][k, i, j] == VALUES[i, j, k] for i, j, k in np.ndindex(2, 3, 4))


@pytest.mark.parametrize("axes", [[0, 1], [], [0, 1, 1], [0, 1, 3], [0, 1, -1], [0, 1, 2, 3]])
def test_every_axis_has_to_be_listed_once(axes: list[int]) -> None:
    with pytest.raises(CafxError, match=r"dim|axes"):
        run_layer("Transpose", [VALUES], options={"dim": axes})
