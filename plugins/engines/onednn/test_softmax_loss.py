"""The loss of a softmax: rows and images, ignored labels, and what it leaves to the layer as written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.conformance.nets import net_of_text
from cafx.kernel import CafxError, Net
from cafx_engine_onednn import OneDNN

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")

IGNORED = 255


def text(shape: tuple[int, ...], axis: int = 1, loss: str = "", tops: int = 1) -> str:
    dims, positions = (" ".join(f"dim: {n}" for n in each) for each in (shape, shape[:axis] + shape[axis + 1 :]))
    named = 'top: "loss" top: "p" loss_weight: 2 loss_weight: 0' if tops == 2 else 'top: "loss" loss_weight: 2'
    return f"""
    force_backward: true
    layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}
    layer {{ name: "label" type: "Input" top: "label" input_param {{ shape {{ {positions} }} }} }}
    layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "label" {named}
             propagate_down: true propagate_down: false softmax_param {{ axis: {axis} }} loss_param {{ {loss} }} }}"""


def both(net: str) -> list[Net]:
    return [net_of_text(net, engine=each, seed=1) for each in ("numpy", "onednn")]


def losses_and_gradients(nets: list[Net], x: np.ndarray, labels: np.ndarray) -> list[dict[str, np.ndarray]]:
    results = []
    for net in nets:
        tops = net.forward(x=x, label=labels)
        net.run_backward()
        results.append({**tops, "gradient": net.blobs["x"].host_diff()})
    return results


def assert_equal_results(results: list[dict[str, np.ndarray]]) -> None:
    for name, expected in results[0].items():
        np.testing.assert_allclose(results[1][name], expected, rtol=3e-6, atol=1e-7, err_msg=name)


@pytest.mark.slow
@given(
    shape=st.lists(st.integers(1, 40), min_size=2, max_size=4).filter(lambda s: np.prod(s) < 20000),
    axis=st.integers(1, 3),
    ignored=st.sampled_from([None, 0, IGNORED, -1]),
    scale=st.sampled_from([0.1, 1.0, 30.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_it_agrees_with_the_layer_as_written(
    shape: list[int], axis: int, ignored: int | None, scale: float, seed: int
) -> None:
    axis = min(axis, len(shape) - 1)
    rng = np.random.default_rng(seed)
    x = scale * rng.standard_normal(shape, np.float32)
    labels = rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :]).astype(np.float32)
    if ignored is not None:
        labels[rng.random(labels.shape) < 0.3] = ignored
    loss = "" if ignored is None else f"ignore_label: {ignored}"
    nets = both(text(tuple(shape), axis, loss, tops=2))
    assert nets[1].program.parts[-1].run_by == "onednn"
    assert_equal_results(losses_and_gradients(nets, x, labels))


@pytest.mark.parametrize("shape", [(64, 1000), (2, 21, 40, 50)])
def test_several_threads_share_large_batches(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, np.float32)
    labels = rng.integers(0, shape[1], (shape[0], *shape[2:])).astype(np.float32)
    assert_equal_results(losses_and_gradients(both(text(shape)), x, labels))


@pytest.mark.parametrize("shape", [(3, 5), (2, 5, 3, 7)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_scores_that_are_not_finite_come_through(shape: tuple[int, ...], value: float) -> None:
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    x[1, 2] = value
    with np.errstate(invalid="ignore"):
        assert_equal_results(losses_and_gradients(both(text(shape)), x, np.ones((shape[0], *shape[2:]), np.float32)))


@pytest.mark.parametrize("shape", [(3, 5), (2, 5, 3, 7)])
@pytest.mark.parametrize("label", [5.0, -1.0, np.nan, 1e20])
def test_a_label_that_is_no_index_is_refused(shape: tuple[int, ...], label: float) -> None:
    labels = np.zeros((shape[0], *shape[2:]), np.float32)
    labels[1] = label
    net = both(text(shape, loss="ignore_label: 7"))[1]
    with pytest.raises(CafxError, match=r"net: layer 'loss' \(SoftmaxWithLoss\): a label is not a class index"):
        net.forward(x=np.zeros(shape), label=labels)


def test_labels_are_rounded_towards_zero() -> None:
    labels = np.array([0.9, -0.9, 7.9, 2.0], np.float32)
    nets = both(text((4, 5), loss="ignore_label: 7"))
    assert_equal_results(
        losses_and_gradients(nets, np.random.default_rng(0).standard_normal((4, 5), np.float32), labels)
    )
