"""HingeLoss beyond the conformance suite."""

import pytest

from cafx.conformance import layer_suite, run_layer

TestHingeLoss = layer_suite("HingeLoss")
SCORES, LABELS = [[2.0, -0.5, -3.0], [0.0, 0.0, 0.5]], [0.0, 2.0]


@pytest.mark.parametrize(("norm", "loss"), [("L1", (0.5 + 1 + 1 + 0.5) / 2), ("L2", (0.25 + 1 + 1 + 0.25) / 2)])
def test_only_scores_within_the_margin_contribute(norm: str, loss: float) -> None:
    run = run_layer("HingeLoss", [SCORES, LABELS], options={"norm": norm})
    assert run.tops[0] == pytest.approx(loss)
