"""ContrastiveLoss beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer

TestContrastiveLoss = layer_suite("ContrastiveLoss")
ORIGIN, AWAY = np.zeros((1, 2)), [[0.3, 0.4]]


@pytest.mark.parametrize(
    ("similar", "legacy", "loss"),
    [(1, False, 0.25 / 2), (0, False, 0.25 / 2), (0, True, 0.75 / 2), (1, True, 0.25 / 2)],
)
def test_the_loss_of_a_pair_half_the_margin_apart_matches_the_formula(
    similar: float, legacy: bool, loss: float
) -> None:
    options = {"legacy_version": legacy}
    run = run_layer("ContrastiveLoss", [ORIGIN, AWAY, [similar]], options=options)
    assert run.tops[0] == pytest.approx(loss)


def test_equal_points_of_a_dissimilar_pair_have_a_finite_gradient() -> None:
    run = run_layer("ContrastiveLoss", [ORIGIN, ORIGIN, [0.0]], top_diffs=[np.ones(())])
    assert run.tops[0] == pytest.approx(0.5)
    assert not run.bottom_diffs[0].any()
