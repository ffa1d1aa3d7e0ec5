"""Softmax and its loss in small nets, as the numpy engine."""

import numpy as np
import pytest

from cafx.conformance.nets import (
    assert_all_near,
    assert_near,
    feed,
    net_of_text,
    param_gradients,
    param_values,
    solver_of_text,
)
from cafx.kernel import TEST, CafxError

TOLERANCES = {"float32": 1e-4, "bf16": 0.04}
PRECISIONS = ["float32", "bf16"]
PASSES = 4
SEED = 3
LEAST = 87.33655


def inputs(shape, labels=None):
    shapes = {"x": shape} if labels is None else {"x": shape, "label": labels}
    layers = ["force_backward: true"]
    for name, lengths in shapes.items():
        dims = " ".join(f"dim: {length}" for length in lengths)
        layers.append(f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}')
    return "\n".join(layers)


def conv(outputs, bottom="x"):
    """A convolution of single pixels, whose result is channels-last."""
    return f"""layer {{ name: "scores" type: "Convolution" bottom: "{bottom}" top: "scores"
      convolution_param {{ num_output: {outputs} kernel_size: 1 weight_filler {{ type: "gaussian" std: 1 }} }} }}"""


def product(outputs):
    return f"""layer {{ name: "scores" type: "InnerProduct" bottom: "x" top: "scores"
      inner_product_param {{ num_output: {outputs} weight_filler {{ type: "gaussian" std: 1 }} }} }}"""


def loss(options="", bottom="scores", tops='top: "loss"', label="label"):
    return f'layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "{bottom}" bottom: "{label}" {tops} {options} }}'


def softmax(bottom, top):
    return f'layer {{ name: "softmax" type: "Softmax" bottom: "{bottom}" top: "{top}" }}'


def fill(net, labels):
    feed(net, seed=1)
    if labels is not None:
        net.blobs["label"].set_data(labels)


def run(net, labels, diffs=None):
    """Loss, and all gradients, of one forward and backward pass."""
    fill(net, labels)
    net.clear_param_diffs()
    net.run_forward()
    found = {name: net.blobs[name].host() for name in net.outputs if name in net.blobs}
    if diffs is None:
        net.run_backward()
    else:
        net.backward(**diffs)
    return found | {"x diff": net.blobs["x"].host_diff()} | param_gradients(net)


def assert_as_on_the_host(text, engine, labels, *, keep="all", diffs=None):
    host, device = (net_of_text(text, engine=each, seed=SEED, keep=keep) for each in ("numpy", engine))
    (step,) = [step for step in device.program.steps if step.name in ("loss", "softmax")]
    assert step.run_by == "cudnn"
    for _ in range(PASSES):
        expected, found = (run(net, labels, diffs) for net in (host, device))
        assert_all_near(found, expected, TOLERANCES[engine.precision])
    assert not device.program.recorder.refused
    return device


def random_labels(shape, classes, ignored=None):
    rng = np.random.default_rng(5)
    drawn = rng.integers(0, classes, shape)
    return drawn if ignored is None else np.where(rng.random(shape) < 0.3, ignored, drawn)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("classes", [2, 10, 40, 130, 600])
def test_a_loss_of_rows(classes, precision, make_engine):
    text = inputs((37, 6), (37,)) + product(classes) + loss("loss_weight: 2.5")
    assert_as_on_the_host(text, make_engine(precision=precision), random_labels(37, classes), keep="outputs")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "options",
    [
        "ignore_label: 1",
        "ignore_label: 255",
        "ignore_label: 0 normalization: FULL",
        "ignore_label: 255 normalization: BATCH_SIZE",
        "ignore_label: -1 normalization: NONE",
        "ignore_label: 255 normalize: false",
        "normalization: VALID",
    ],
)
def test_a_loss_of_pixels(options, precision, make_engine):
    ignored = int(options.split()[1]) if "ignore" in options else None
    text = inputs((2, 3, 9, 8), (2, 9, 8)) + conv(5) + loss(f"loss_param {{ {options} }}")
    assert_as_on_the_host(text, make_engine(precision=precision), random_labels((2, 9, 8), 5, ignored))


def test_a_loss_of_more_pixels_than_all_blocks_work_on_at_once(make_engine):
    text = inputs((2, 3, 80, 60), (2, 80, 60)) + conv(3) + loss()
    assert_as_on_the_host(text, make_engine(), random_labels((2, 80, 60), 3))


@pytest.mark.slow
def test_more_blocks_than_one_block_has_threads(make_engine):
    engine = make_engine()
    engine.session.multiprocessors = 100
    text = inputs((300, 6), (300,)) + product(270) + loss("loss_param { ignore_label: 3 }")
    assert_as_on_the_host(text, engine, random_labels(300, 270, 3))


def test_a_loss_of_row_major_scores(make_engine):
    text = inputs((5, 6), (5,)) + loss(bottom="x")
    assert_as_on_the_host(text, make_engine(), random_labels(5, 6))


def test_float32_scores_are_not_rounded(make_engine):
    text = inputs((5, 6), (5,)) + loss(bottom="x")
    net = net_of_text(text, engine=make_engine(precision="bf16"))
    assert net.program.steps[-1].note == "scores in float32"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_probabilities(precision, make_engine):
    tops = 'top: "loss" top: "p" loss_weight: 1 loss_weight: 0'
    text = inputs((2, 3, 5, 4), (2, 5, 4)) + conv(7) + loss(tops=tops)
    net = assert_as_on_the_host(text, make_engine(precision=precision), random_labels((2, 5, 4), 7))
    np.testing.assert_allclose(net.blobs["p"].host().sum(axis=1), 1, rtol=2e-2)


def test_everything_ignored(make_engine):
    text = inputs((4, 6), (4,)) + product(5) + loss("loss_param { ignore_label: 9 }")
    net = assert_as_on_the_host(text, make_engine(), np.full(4, 9))
    assert float(net.blobs["loss"].host()) == 0


def test_labels_are_cut_to_whole_numbers(make_engine):
    text = inputs((4, 6), (4,)) + product(5) + loss("loss_param { ignore_label: 2 }")
    assert_as_on_the_host(text, make_engine(), [0.9, 2.5, -0.5, 3.999])


@pytest.mark.parametrize("label", [5, -1, np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("passes", [1, 4])
def test_labels_out_of_range_are_reported_and_do_no_harm(passes, label, make_engine):
    text = inputs((4, 6), (4,)) + product(5) + loss("loss_param { ignore_label: 7 }")
    net = net_of_text(text, engine=make_engine(), seed=SEED)
    assert net.program.steps[-1].run_by == "cudnn"
    for _ in range(passes):
        good = run(net, [0, 1, 7, 4])
    fill(net, [0, 1, 7, label])
    with pytest.raises(CafxError, match=r"not a class index(.|\n)*0 to 4, or 7"):
        net.forward()
    net.run_backward()
    assert np.isfinite(net.blobs["x"].host_diff()).all()
    assert_all_near(run(net, [0, 1, 7, 4]), good, 0)
    net.forward()


def test_the_loss_of_a_position_is_bounded(make_engine):
    text = inputs((2, 3), (2,)) + loss(bottom="x", options="loss_param { normalization: NONE }")
    net = net_of_text(text, engine=make_engine())
    net.blobs["x"].set_data([[0, 1000, 0], [500, 0, 0]])
    net.blobs["label"].set_data([0, 0])
    net.run_forward()
    assert float(net.blobs["loss"].host()) == pytest.approx(LEAST)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_spoil_their_own_row(bad, make_engine):
    text = inputs((3, 5), (3,)) + loss(bottom="x")
    net = net_of_text(text, engine=make_engine())
    fill(net, [0, 1, 2])
    net.blobs["x"].mutable_data[1, 3] = bad
    net.run_forward()
    net.run_backward()
    assert np.isnan(net.blobs["loss"].host())
    assert np.isnan(net.blobs["x"].host_diff()).all(axis=1).tolist() == [False, True, False]
    assert np.isfinite(net.blobs["x"].host_diff()[[0, 2]]).all()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_training(precision, make_engine):
    text = inputs((8, 3, 6, 6), (8,)) + conv(6)
    text += 'layer { name: "relu" type: "ReLU" bottom: "scores" top: "scores" }'
    text += """layer { name: "fc" type: "InnerProduct" bottom: "scores" top: "fc"
      inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }"""
    options = 'base_lr: 0.02 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.01 iter_size: 2 random_seed: 3'
    solvers = [
        solver_of_text(text + loss(bottom="fc"), options, engine=engine, keep="outputs")
        for engine in ("numpy", make_engine(precision=precision))
    ]
    for solver in solvers:
        fill(solver.net, random_labels(8, 5))
    losses = [[solver.step(1) for _ in range(6)] for solver in solvers]
    np.testing.assert_allclose(losses[1], losses[0], rtol=TOLERANCES[precision])
    values = [param_values(solver.net) for solver in solvers]
    assert_all_near(values[1], values[0], TOLERANCES[precision])


def test_an_iteration_reads_nothing_on_the_host(cuda, make_engine):
    net = net_of_text(inputs((4, 6), (4,)) + product(5) + loss(), engine=make_engine(), seed=SEED)
    fill(net, [0, 1, 2, 3])
    for repeated in range(5):
        if repeated == 4:
            before = cuda.host_reads, cuda.synchronisations
        net.run_forward()
        net.run_backward()
    assert (cuda.host_reads, cuda.synchronisations) == before


# -- softmax


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("top", ["scores", "p"])
@pytest.mark.parametrize("classes", [3, 16, 70, 300])
def test_softmax(classes, top, precision, make_engine):
    text = inputs((2, 3, 7, 5)) + conv(classes) + softmax("scores", top)
    diff = np.random.default_rng(2).standard_normal((2, classes, 7, 5))
    assert_as_on_the_host(text, make_engine(precision=precision), None, diffs={top: diff}, keep="outputs")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("last", [softmax("scores", "p"), loss(tops='top: "loss" top: "p"')])
def test_padding_is_zero(last, precision, make_engine):
    text = inputs((4, 3), (4,)) + product(5) + last
    net = net_of_text(text, TEST, engine=make_engine(precision=precision), seed=SEED)
    fill(net, [0, 1, 2, 3])
    net.run_forward()
    storage = net.blobs["p"].synced_data
    (place,) = storage.current
    rows = storage.read(place).get().reshape(4, 8)
    assert rows[:, :5].all()
    assert not rows[:, 5:].any()


def test_softmax_of_infinite_scores(make_engine):
    net = net_of_text(inputs((4, 3)) + softmax("x", "p"), TEST, engine=make_engine())
    scores = [[1, np.nan, 0], [np.inf, 0, 0], [-np.inf, -np.inf, -np.inf], [-np.inf, 0, 0]]
    net.blobs["x"].set_data(scores)
    net.run_forward()
    found = net.blobs["p"].host()
    assert np.isnan(found[:3]).all()
    assert_near(found[3], [0, 0.5, 0.5], 1e-6)
