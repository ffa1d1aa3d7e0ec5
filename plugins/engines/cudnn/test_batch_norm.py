"""BatchNorm, Scale and Bias with what is fused with them, as the numpy engine."""

import numpy as np
import pytest

from cafx.conformance.nets import (
    assert_all_near,
    assert_near,
    feed,
    net_of_text,
    param_gradients,
    param_values,
    run_passes,
    solver_of_text,
)
from cafx.kernel import TEST, TRAIN, CafxError

TOLERANCE = 1e-4
NORM_TOLERANCE, BEHIND_RELU = 0.03, 0.2
"""Of the norm of a difference in bf16, whose rounding turns single signs that a ReLU's gradient depends on."""
PRECISIONS = ["float32", "bf16"]
PASSES = 4
BUT_THE_SIGN = 0x7FFF
"""The bits of a bfloat16 that are 0 in both zeros."""
SEED = 5
POSITIVE = {0: (-0.3, 0.6), 1: (0.5, 2.0), 2: (0.8, 1.2)}
"""Ranges of the running sums of a BatchNorm layer."""


def inputs(*shape, name="x"):
    dims = " ".join(f"dim: {length}" for length in shape)
    shape = f"input_param {{ shape {{ {dims} }} }}"
    return f'force_backward: true layer {{ name: "{name}" type: "Input" top: "{name}" {shape} }}'


def conv(outputs, top="conv", bottom="x", options="", bias="false"):
    return f"""layer {{ name: "{top}" type: "Convolution" bottom: "{bottom}" top: "{top}"
      convolution_param {{ num_output: {outputs} kernel_size: 3 pad: 1 bias_term: {bias}
        weight_filler {{ type: "xavier" }} bias_filler {{ type: "gaussian" std: 0.3 }} {options} }} }}"""


def norm(bottom="conv", top="conv", options="moving_average_fraction: 0.9", name="bn"):
    return f"""layer {{ name: "{name}" type: "BatchNorm" bottom: "{bottom}" top: "{top}"
      batch_norm_param {{ {options} }} }}"""


def scale(blob="conv", bias="true", params="", name="scale"):
    return f"""layer {{ name: "{name}" type: "Scale" bottom: "{blob}" top: "{blob}" {params}
      scale_param {{ bias_term: {bias} filler {{ type: "uniform" min: 0.5 max: 1.5 }}
        bias_filler {{ type: "gaussian" std: 0.3 }} }} }}"""


def relu(blob="conv", slope=0.0):
    return f"""layer {{ name: "relu" type: "ReLU" bottom: "{blob}" top: "{blob}"
      relu_param {{ negative_slope: {slope} }} }}"""


def total(*bottoms, options=""):
    listed = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
    return f'layer {{ name: "sum" type: "Eltwise" {listed} top: "sum" eltwise_param {{ {options} }} }}'


def running(net):
    """The BatchNorm layers' running sums by name."""
    layers = [layer for layer in net.layers if layer.type == "BatchNorm"]
    return {f"{layer.name}.{i}": blob.host() for layer in layers for i, blob in enumerate(layer.blobs)}


def set_running(net):
    rng = np.random.default_rng(7)
    for layer in net.layers:
        if layer.type == "BatchNorm":
            for index, blob in enumerate(layer.blobs):
                blob.set_data(rng.uniform(*POSITIVE[index], blob.shape))


def run(net, *, accumulate=False):
    """The output, all gradients and the running sums of one forward and backward pass."""
    feed(net, seed=1)
    if not accumulate:
        net.clear_param_diffs()
    net.run_forward()
    (name,) = net.outputs
    found = {name: net.blobs[name].host()}
    if net.program.plan.has_backward:
        net.backward(**{name: np.random.default_rng(2).standard_normal(net.blobs[name].shape)})
        found |= {"x diff": net.blobs["x"].host_diff(), **param_gradients(net)}
    return {**found, **running(net)}


def compare(found, expected, engine, text):
    """Value by value in float32, by norms in bf16."""
    tolerance = BEHIND_RELU if "ReLU" in text or "MAX" in text else NORM_TOLERANCE
    if engine.precision == "float32":
        assert_all_near(found, expected, TOLERANCE)
        return
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        difference = np.linalg.norm(found[name] - values)
        assert difference <= tolerance * np.linalg.norm(values) + 1e-6, name


def assert_no_padding(net):
    """What lies behind the channels is 0, in values and gradients."""
    for blob in net.blobs.values():
        for storage in (blob.synced_data, blob.synced_diff):
            for place in storage.current:
                extent = getattr(place, "extent", None)
                if extent is not None:
                    rows = storage.read(place).get().reshape(-1, extent.padded)[:, extent.channels :]
                    assert not (rows & BUT_THE_SIGN if rows.dtype == np.uint16 else rows).any(), blob.name


def assert_as_on_the_host(text, engine, *, phase=TRAIN, keep="all", accumulate=False):
    """Four passes, of which the last is a recorded one; the net on the GPU."""
    host = net_of_text(text, phase, engine="numpy", seed=SEED, keep=keep)
    device = net_of_text(text, phase, engine=engine, seed=SEED, keep=keep)
    for net in (host, device):
        set_running(net)
    for _ in range(PASSES):
        expected, found = (run(net, accumulate=accumulate) for net in (host, device))
        compare(found, expected, engine, text)
    assert_no_padding(device)
    assert not device.program.recorder.refused
    return device


def names(net):
    return [step.name for step in net.program.steps if step.run_by == "cudnn"]


CHAINS = {
    "bn": norm(),
    "bn+scale": norm() + scale(),
    "bn+scale+relu": norm() + scale() + relu(),
    "bn+relu": norm() + relu(slope=0.2),
    "bn+scale+relu (no shift)": norm() + scale(bias="false") + relu(),
    "bn+scale+relu (apart)": norm(top="bn") + scale("bn") + relu("bn"),
    "bn+scale+relu (frozen)": norm(options="use_global_stats: true") + scale() + relu(),
    "bn (frozen)": norm(options="use_global_stats: true"),
    "bn+scale (factor alone learned)": norm() + scale(params="param { } param { lr_mult: 0 }"),
    "bn+scale (nothing learned)": norm() + scale(params="param { lr_mult: 0 } param { lr_mult: 0 }"),
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("chain", CHAINS)
def test_chains(chain, precision, make_engine):
    text = inputs(4, 3, 5, 6) + conv(5) + CHAINS[chain]
    net = assert_as_on_the_host(text, make_engine(precision=precision))
    assert names(net) == ["conv", chain.split(" ")[0]]


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
def test_many_blocks(precision, make_engine):
    """Several blocks across the channels, and several along the pixels, the last of which are incomplete."""
    text = inputs(3, 2, 11, 9) + conv(265) + scale() + relu()
    assert_as_on_the_host(text, make_engine(precision=precision))


def test_gradients_accumulate(make_engine):
    text = inputs(2, 3, 4, 4) + conv(5) + norm() + scale() + relu()
    assert_as_on_the_host(text, make_engine(), accumulate=True)


def test_rows(make_engine):
    """Blobs of two axes, as they come from an inner product."""
    product = """layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
      inner_product_param { num_output: 7 bias_term: false weight_filler { type: "xavier" } } }"""
    text = inputs(6, 5) + product + norm("ip", "ip") + scale("ip") + relu("ip")
    assert "bn+scale+relu" in names(assert_as_on_the_host(text, make_engine()))


def test_memory_is_shared(make_engine):
    text = inputs(2, 3, 6, 6) + conv(5) + norm() + scale() + relu() + conv(4, "last", "conv")
    assert_as_on_the_host(text, make_engine(), keep="outputs")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("layer", ["Scale", "Bias"])
def test_without_normalisation(layer, precision, make_engine):
    filled = 'filler { type: "gaussian" std: 0.5 }'
    alone = f"""layer {{ name: "alone" type: "{layer}" bottom: "conv" top: "conv"
      {layer.lower()}_param {{ {filled} }} }}"""
    text = inputs(3, 3, 5, 4) + conv(6) + alone + relu(slope=0.1)
    assert names(assert_as_on_the_host(text, make_engine(precision=precision))) == ["conv", "alone+relu"]


def test_bias_behind_a_normalisation(make_engine):
    """It is no Scale."""
    bias = 'layer { name: "bias" type: "Bias" bottom: "conv" top: "conv" bias_param { filler { value: 0.4 } } }'
    text = inputs(3, 3, 5, 4) + conv(6) + norm() + bias + relu()
    assert names(assert_as_on_the_host(text, make_engine())) == ["conv", "bn", "bias+relu"]


def test_large_mean(make_engine):
    """Sums of squares would lose the variance of values far from 0, and so would a first value that is 0."""
    text = inputs(4, 3, 16, 16) + norm("x", "y", "eps: 0 moving_average_fraction: 0")
    net = net_of_text(text, engine=make_engine())
    rng = np.random.default_rng(0)
    x = (4000 + rng.standard_normal((4, 3, 16, 16))).astype(np.float32)
    x[0, :, 0, 0] = 0
    net.blobs["x"].set_data(x)
    net.run_forward()
    exact = x.astype(np.float64)
    mean, variance = exact.mean((0, 2, 3), keepdims=True), exact.var((0, 2, 3), keepdims=True)
    assert_near(net.blobs["y"].host(), (exact - mean) / np.sqrt(variance), 1e-5)
    _, spread, _ = running(net).values()
    assert_near(spread, variance.reshape(-1) * 1024 / 1023, 1e-5)


def test_nan_stays(make_engine):
    text = inputs(2, 5, 3, 3) + norm("x", "y")
    net = net_of_text(text, engine=make_engine())
    x = np.random.default_rng(0).standard_normal((2, 5, 3, 3))
    x[1, 2, 0, 1] = np.nan
    net.blobs["x"].set_data(x)
    net.run_forward()
    y = net.blobs["y"].host()
    assert np.isnan(y[:, 2]).all()
    assert np.isfinite(np.delete(y, 2, axis=1)).all()


RESIDUALS = {
    "behind": ("sum", conv(5, "other") + conv(5) + norm() + scale() + total("other", "conv") + relu("sum")),
    "first": ("sum", conv(5, "other") + conv(5) + norm() + scale() + total("conv", "other") + relu("sum", 0.1)),
    "apart": ("sum", conv(5, "other") + conv(5) + norm(top="bn") + total("other", "bn") + relu("sum")),
    "linear": ("sum", conv(5, "other") + conv(5) + norm() + scale() + total("other", "conv")),
    "of itself": ("sum", conv(3, "conv") + norm() + scale() + total("x", "conv") + relu("sum")),
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", RESIDUALS)
@pytest.mark.parametrize("phase", [TRAIN, TEST], ids=["train", "test"])
def test_residual(case, phase, precision, make_engine):
    """A sum behind the normalisation is part of its pass."""
    _, layers = RESIDUALS[case]
    text = inputs(4, 3, 5, 5) + layers
    net = assert_as_on_the_host(text, make_engine(precision=precision), phase=phase, keep="outputs")
    assert any("+sum" in name for name in names(net))


def test_addend_without_gradient(make_engine):
    """None is written for an addend that needs none."""
    text = (inputs(2, 3, 5, 5) + inputs(2, 3, 5, 5, name="z")).replace("force_backward: true", "")
    text += conv(3) + norm() + scale() + total("x", "conv")
    text += 'layer { name: "loss" type: "EuclideanLoss" bottom: "sum" bottom: "z" top: "loss" }'
    host, device = (net_of_text(text, engine=engine, seed=SEED, keep="outputs") for engine in ("numpy", make_engine()))
    for net in (host, device):
        feed(net)
        run_passes(net)
    (step,) = [step for step in device.program.steps if step.name == "bn+scale+sum"]
    written = [use.storage for access in step.accesses(backward=True) for use in access.writes]
    assert written == [device.blobs["conv"].synced_diff]
    assert_all_near(param_gradients(device), param_gradients(host), TOLERANCE)


@pytest.mark.parametrize(
    ("keep", "options", "fused"),
    [("outputs", "", True), ("all", "", False), (["conv"], "", False), ("outputs", "coeff: [1, -1]", False)],
)
def test_when_a_sum_is_fused(keep, options, fused, make_engine):
    """Not where somebody else may read the normalised values, or if it is another sum."""
    text = inputs(2, 3, 4, 4) + conv(3) + norm() + scale() + total("x", "conv", options=options)
    net = assert_as_on_the_host(text, make_engine(), keep=keep)
    assert ("bn+scale+sum" in names(net)) is fused


FOLDED = {
    "conv+bn+scale+relu": conv(5, bias="true") + norm() + scale() + relu(),
    "conv+bn": conv(5) + norm(),
    "conv+bn+relu": conv(5, bias="true") + norm() + relu(slope=0.3),
    "conv+bn+scale": conv(16, options="group: 2", bias="true") + norm() + scale(bias="false"),
    "conv+bn+scale+relu (strided)": conv(6, options="stride: 2", bias="true") + norm() + scale() + relu(),
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("chain", FOLDED)
def test_folding(chain, precision, make_engine):
    text = inputs(3, 16, 6, 7) if "group" in FOLDED[chain] else inputs(3, 3, 6, 7)
    net = assert_as_on_the_host(text + FOLDED[chain], make_engine(precision=precision), phase=TEST, keep="outputs")
    assert names(net) == [chain.split(" ")[0]]


def test_folding_follows_the_parameters(make_engine):
    """Weights and statistics that change between passes are taken over, by a recorded pass, too."""
    text = inputs(2, 3, 4, 4) + FOLDED["conv+bn+scale+relu"]
    host = net_of_text(text, TEST, engine="numpy", seed=SEED, keep="outputs")
    device = net_of_text(text, TEST, engine=make_engine(), seed=SEED, keep="outputs")
    for number in range(6):
        for net in (host, device):
            rng = np.random.default_rng(number)
            for layer in net.layers:
                for blob in layer.blobs:
                    blob.set_data(rng.uniform(0.5, 1.5, blob.shape))
        assert_all_near(run(device), run(host), 1e-4)


def test_nothing_is_folded_where_gradients_are_needed(make_engine):
    text = inputs(2, 3, 4, 4) + FOLDED["conv+bn+scale+relu"]
    assert names(assert_as_on_the_host(text, make_engine(), phase=TEST)) == ["conv", "bn+scale+relu"]


def test_batch_statistics_are_not_folded(make_engine):
    text = inputs(2, 3, 4, 4) + conv(3) + norm(options="use_global_stats: false") + scale()
    assert names(assert_as_on_the_host(text, make_engine(), phase=TEST, keep="outputs")) == ["conv", "bn+scale"]


def test_backward_inside_a_fused_step(make_engine):
    text = inputs(2, 3, 4, 4) + conv(3) + norm() + scale() + relu()
    net = net_of_text(text, engine=make_engine(), seed=SEED)
    feed(net)
    net.run_forward()
    with pytest.raises(CafxError, match="inside a fused step"):
        net.program.backward(last=2)


def test_in_place_on_an_input(make_engine):
    """There, x would have to be kept apart: it runs as written."""
    net = assert_as_on_the_host(inputs(2, 3, 4, 4) + norm("x", "x"), make_engine())
    (step,) = [step for step in net.program.steps if step.name == "bn"]
    assert step.run_by == "plain"
    assert step.note == "in place on row-major memory"


def unit(outputs, bottom, top):
    """A convolution, normalised."""
    return conv(outputs, top, bottom) + norm(top, top, name=f"bn_{top}") + scale(top, name=f"scale_{top}")


def named_relu(blob):
    return relu(blob).replace('"relu" type', f'"relu_{blob}" type')


RESIDUAL_NET = f"""
    {inputs(4, 3, 8, 8).replace("force_backward: true", "")}
    {inputs(4, name="label").replace("force_backward: true", "")}
    {unit(6, "x", "stem")} {named_relu("stem")}
    {unit(10, "stem", "shortcut")} {unit(10, "stem", "a")} {named_relu("a")} {unit(10, "a", "b")}
    {total("shortcut", "b")} {named_relu("sum")}
    layer {{ name: "pool" type: "Pooling" bottom: "sum" top: "pool"
      pooling_param {{ pool: AVE global_pooling: true }} }}
    layer {{ name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
      inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}
    layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss"
      include {{ phase: TRAIN }} }}"""
OPTIONS = 'base_lr: 0.05 momentum: 0.9 lr_policy: "fixed" type: "SGD" max_iter: 9 random_seed: 3 display: 0'


def test_training_of_a_residual_net(make_engine):
    """Fused, recorded and in shared memory, next to a TEST net with folded filters that shares the weights."""
    trained, tested = [], []
    for engine in ("numpy", make_engine()):
        solver = solver_of_text(RESIDUAL_NET, OPTIONS, engine=engine, keep="outputs")
        test = net_of_text(RESIDUAL_NET, TEST, engine=engine, keep="outputs", share=solver.net)
        found = []
        for number in range(4):
            for net in (solver.net, test):
                feed(net, seed=number)
            solver.step(1)
            test.run_forward()
            found.append(test.blobs["ip"].host())
        trained.append({**param_values(solver.net), **running(solver.net)})
        tested.append({str(number): values for number, values in enumerate(found)})
    assert_all_near(trained[1], trained[0], TOLERANCE)
    assert_all_near(tested[1], tested[0], TOLERANCE)
    assert "bn_b+scale_b+sum+relu_sum" in names(solver.net)
    assert "a+bn_a+scale_a+relu_a" in names(test)
    assert solver.net.program.graphs


def test_values_set_in_the_middle(make_engine):
    """Backward finds what the normalisation read, whoever wrote it and wherever that was."""
    text = inputs(2, 3, 4, 4) + conv(3) + norm() + scale() + relu() + conv(2, "last", "conv")
    nets = [net_of_text(text, engine=engine, seed=SEED) for engine in ("numpy", make_engine())]
    for number in range(PASSES):
        found = []
        for net in nets:
            feed(net, seed=number)
            net.clear_param_diffs()
            net.run_forward()
            rng = np.random.default_rng(number)
            if number % 2:
                net.blobs["conv"].set_data(rng.standard_normal(net.blobs["conv"].shape))
                net.program.forward(2, 5)
            net.backward(last=rng.standard_normal(net.blobs["last"].shape))
            found.append({"diff": net.blobs["conv"].host_diff(), **param_gradients(net), **running(net)})
        assert_all_near(found[1], found[0], TOLERANCE)
