"""Axpy beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestAxpy = layer_suite("Axpy")


@pytest.mark.parametrize(
    "shapes",
    [
        [(2, 3, 2, 1), (2, 3, 2, 1), (2, 3, 2, 1)],
        [(3, 3), (2, 3, 4), (2, 3, 4)],
        [(2,), (2, 3), (2, 3)],
        [(2,), (2,), (2,)],
        [(2, 3), (2, 3, 4), (2, 3, 5)],
    ],
)
def test_shapes_that_do_not_match_are_refused(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(CafxError, match=r"factor|shape mismatch"):
        run_layer("Axpy", [np.zeros(shape) for shape in shapes])
