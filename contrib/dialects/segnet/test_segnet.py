"""SoftmaxWithLoss with a weight for each class."""

from typing import Any

import numpy as np
import pytest

from cafx.conformance import plugin_suite, run_layer
from cafx.kernel import CafxError, registry

TestDialectSegnet = plugin_suite("dialect", "segnet")

RNG = np.random.default_rng(3)
SCORES = RNG.standard_normal((2, 3, 4))
LABELS = np.array([[0.0, 1, 2, 255], [2, 2, 1, 0]])
WEIGHTS = [0.25, 0.0, 4.0]
COUNTED = 7
TOLERANCE = 1e-5


def loss(**weights: Any) -> dict[str, Any]:
    """Fields of the layer."""
    return {"loss_param": {"ignore_label": 255, "class_weighting": WEIGHTS, **weights}}


def expected(weights: list[float]) -> tuple[float, Any]:
    """Loss and gradient, position by position."""
    total, gradient = 0.0, np.zeros_like(SCORES)
    for n, i in np.ndindex(*LABELS.shape):
        label = int(LABELS[n, i])
        if label == 255:
            continue
        p = np.exp(SCORES[n, :, i]) / np.exp(SCORES[n, :, i]).sum()
        total -= weights[label] * np.log(p[label]) / COUNTED
        gradient[n, :, i] = weights[label] * (p - np.eye(3)[label]) / COUNTED
    return total, gradient


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("engine", list(registry().names("engine")))
def test_loss_and_gradient_are_weighted_by_label_and_the_divisor_is_not(engine: str, on: bool) -> None:
    if registry().load("engine", engine).unavailable():
        pytest.skip(f"{engine} is not available")
    total, gradient = expected(WEIGHTS if on else [1.0] * 3)
    layer = loss(weight_by_label_freqs=on)
    run = run_layer("SoftmaxWithLoss", [SCORES, LABELS], layer=layer, top_diffs=[np.ones(())], engine=engine)
    assert run.tops[0] == pytest.approx(total, rel=TOLERANCE)
    np.testing.assert_allclose(run.bottom_diffs[0], gradient, atol=TOLERANCE)


def test_without_one_weight_per_class_there_is_an_error() -> None:
    layer = loss(weight_by_label_freqs=True, class_weighting=[1.0, 2.0])
    with pytest.raises(CafxError, match="one class_weighting per class"):
        run_layer("SoftmaxWithLoss", [SCORES, LABELS], layer=layer)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(CafxError, match="class_weighting"):
        run_layer("SoftmaxWithLoss", [SCORES, LABELS], layer=loss(class_weighting=[1.0, -2.0, 1.0]))
