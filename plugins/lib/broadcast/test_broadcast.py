"""Views of operands, for every position of their axes."""

import numpy as np
import pytest

from cafx.conformance import run_layer
from cafx.kernel import CafxError


@pytest.mark.parametrize(
    ("operand", "axis", "view"),
    [((2,), 0, (1, 2, 60)), ((3, 4), 1, (2, 12, 5)), ((5,), -1, (24, 5, 1)), ((), 1, (1, 1, 120))],
)
def test_the_view_has_the_operands_axes_in_the_middle(
    operand: tuple[int, ...], axis: int, view: tuple[int, int, int]
) -> None:
    run = run_layer("Bias", [np.zeros((2, 3, 4, 5)), np.zeros(operand)], options={"axis": axis})
    assert run.layer.view == view


def test_a_learned_operand_needs_as_many_axes_as_num_axes() -> None:
    with pytest.raises(CafxError, match="does not have 3 axes from axis 1 on"):
        run_layer("Bias", [np.zeros((2, 3, 4))], options={"num_axes": 3})
