"""SoftmaxWithLoss beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestSoftmaxWithLoss = layer_suite("SoftmaxWithLoss")
LARGEST_LOSS = 87.33655


def test_the_loss_of_an_impossible_label_is_bounded() -> None:
    run = run_layer("SoftmaxWithLoss", [[[1000.0, 0.0]], [1.0]])
    assert run.tops[0] == pytest.approx(LARGEST_LOSS)


def test_the_loss_is_zero_if_every_label_is_ignored() -> None:
    ignored = {"loss_param": {"ignore_label": 2}}
    scores, labels = np.ones((3, 4)), np.full(3, 2.0)
    run = run_layer("SoftmaxWithLoss", [scores, labels], layer=ignored, top_diffs=[np.ones(())])
    assert run.tops[0] == 0
    assert not run.bottom_diffs[0].any()


@pytest.mark.parametrize("label", [-1.0, 3.0])
def test_a_label_that_is_not_a_class_index_is_refused(label: float) -> None:
    with pytest.raises(CafxError, match=f"a label is not a class index: .*{label:.0f}"):
        run_layer("SoftmaxWithLoss", [np.ones((2, 3)), [0.0, label]])
