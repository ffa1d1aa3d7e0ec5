"""What the shared suite cannot know of SoftmaxWithLoss."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestSoftmaxWithLoss = layer_suite("SoftmaxWithLoss")
LARGEST_LOSS = 87.33655


def test_an_impossible_label_costs_no_more_than_the_smallest_float_allows() -> None:
    run = run_layer("SoftmaxWithLoss", [[[1000.0, 0.0]], [1.0]])
    assert run.tops[0] == pytest.approx(LARGEST_LOSS)


def test_a_batch_without_any_counted_label_costs_nothing() -> None:
    ignored = {"loss_param": {"ignore_label": 2}}
    scores, labels = np.ones((3, 4)), np.full(3, 2.0)
    run = run_layer("SoftmaxWithLoss", [scores, labels], layer=ignored, top_diffs=[np.ones(())])
    assert run.tops[0] == 0
    assert not run.bottom_diffs[0].any()


@pytest.mark.parametrize("label", [-1.0, 3.0])
def test_a_label_that_is_no_class_is_named(label: float) -> None:
    with pytest.raises(CafxError, match=f"a label is no class .*{label:.0f}"):
        run_layer("SoftmaxWithLoss", [np.ones((2, 3)), [0.0, label]])
