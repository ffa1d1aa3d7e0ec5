"""The divisor of a loss, in every normalisation mode."""

import pytest

from cafx.kernel import LossParameter
from cafx_lib_labelled import Normaliser


@pytest.mark.parametrize(
    ("options", "valid", "divisor"),
    [
        ({}, None, 12),
        ({}, 5, 5),
        ({}, 0, 1),
        ({"normalization": "FULL"}, 5, 12),
        ({"normalization": "BATCH_SIZE"}, 5, 4),
        ({"normalization": "NONE"}, 5, 1),
        ({"normalize": True}, 5, 5),
        ({"normalize": False}, 5, 4),
        ({"normalize": False, "normalization": "FULL"}, 5, 12),
    ],
)
def test_the_divisor_for_four_by_three_positions(options: dict[str, object], valid: int | None, divisor: int) -> None:
    assert Normaliser(LossParameter(**options))(4, 3, valid) == divisor
