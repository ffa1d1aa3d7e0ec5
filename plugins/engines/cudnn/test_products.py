"""Inner products, dropout and deconvolutions in small nets, as the numpy engine."""

import numpy as np
import pytest

from cafx.conformance.nets import assert_all_near, assert_near, feed, net_of_text, param_gradients
from cafx.kernel import TEST, TRAIN
from cafx.kernel.net import PhiloxDraws, Streams

TOLERANCES = {"float32": 1e-4, "tf32": 1e-4, "bf16": 0.04}
PRECISIONS = ["float32", "bf16"]
PASSES = 4
LOSS = """layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1
  reduction_param { operation: SUMSQ } }"""
FILL = 'weight_filler { type: "xavier" } bias_filler { type: "gaussian" std: 0.3 }'
SEED = 3


def inputs(*shape):
    dims = " ".join(f"dim: {length}" for length in shape)
    return f'force_backward: true layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}'


def conv(outputs, top="conv", bottom="x"):
    return f"""layer {{ name: "{top}" type: "Convolution" bottom: "{bottom}" top: "{top}"
      convolution_param {{ num_output: {outputs} kernel_size: 3 pad: 1 {FILL} }} }}"""


def product(outputs, top, bottom, options="", params=""):
    return f"""layer {{ name: "{top}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" {params}
      inner_product_param {{ num_output: {outputs} {FILL} {options} }} }}"""


def deconv(top, bottom, options):
    return f"""layer {{ name: "{top}" type: "Deconvolution" bottom: "{bottom}" top: "{top}"
      convolution_param {{ {FILL} {options} }} }}"""


def relu(blob, slope=0.0):
    return f"""layer {{ name: "relu" type: "ReLU" bottom: "{blob}" top: "{blob}"
      relu_param {{ negative_slope: {slope} }} }}"""


def dropout(bottom, top, ratio=0.5):
    return f"""layer {{ name: "drop" type: "Dropout" bottom: "{bottom}" top: "{top}"
      dropout_param {{ dropout_ratio: {ratio} }} }}"""


def run(net, *, accumulate=False):
    """The output and all gradients of one forward and backward pass."""
    feed(net, seed=1)
    if not accumulate:
        net.clear_param_diffs()
    net.run_forward()
    (name,) = net.outputs
    net.backward(**{name: np.random.default_rng(2).standard_normal(net.blobs[name].shape)})
    return {name: net.blobs[name].host(), "x diff": net.blobs["x"].host_diff(), **param_gradients(net)}


def assert_as_on_the_host(text, engine, *, keep="all", accumulate=False, phase=TRAIN):
    """Four passes, of which the last is a recorded one; the net on the GPU."""
    host = net_of_text(text, phase, engine="numpy", seed=SEED)
    device = net_of_text(text, phase, engine=engine, seed=SEED, keep=keep)
    for _ in range(PASSES):
        expected, found = (run(net, accumulate=accumulate) for net in (host, device))
        assert_all_near(found, expected, TOLERANCES[engine.precision])
    assert not device.program.recorder.refused
    return device


def steps(net):
    return {step.name: step for step in net.program.steps}


def padding(blob):
    """What lies behind the channels of a blob with two axes."""
    (place,) = blob.synced_data.current
    rows = blob.synced_data.read(place).get().reshape(blob.shape[0], -1)
    assert rows.shape[1] > blob.shape[1]
    return rows[:, blob.shape[1] :]


BOTTOMS = {
    "channels-last": inputs(6, 3, 4, 3) + conv(5) + product(9, "y", "conv"),
    "flattened": inputs(6, 3, 4, 3)
    + conv(5)
    + 'layer { name: "flat" type: "Flatten" bottom: "conv" top: "flat" }'
    + product(9, "y", "flat"),
    "row-major": inputs(6, 2, 4, 3) + product(9, "y", "x"),
    "row-major, padded": inputs(6, 3, 5, 3) + product(9, "y", "x"),
    "a product": inputs(70, 7) + product(37, "ip", "x") + product(130, "y", "ip"),
    "transposed": inputs(6, 3, 4, 3) + conv(5) + product(6, "ip", "conv", "transpose: true") + product(9, "y", "ip"),
    "transposed rows": inputs(6, 7) + product(9, "y", "x", "transpose: true"),
    "no bias": inputs(5, 6) + product(6, "ip", "x", "bias_term: false") + product(3, "y", "ip"),
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bottom", BOTTOMS)
def test_inner_products_of_every_kind_of_bottom(bottom, precision, make_engine):
    net = assert_as_on_the_host(BOTTOMS[bottom], make_engine(precision=precision), keep="outputs")
    assert steps(net)["y"].run_by == "cudnn"


def test_a_flattened_image_is_multiplied_as_it_lies(make_engine):
    net = net_of_text(BOTTOMS["flattened"], engine=make_engine(), seed=SEED)
    feed(net)
    net.run_forward()
    places = net.blobs["conv"].synced_data.current
    net.run_backward()
    assert [place.name for place in places] == ["cuda (channels last)"]
    assert net.blobs["conv"].synced_diff.current == places


@pytest.mark.parametrize("slope", [0.0, 0.3])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_a_relu_is_fused(phase, precision, slope, make_engine):
    text = inputs(11, 6) + product(21, "fc", "x") + relu("fc", slope) + product(3, "y", "fc")
    net = assert_as_on_the_host(text, make_engine(precision=precision), keep="all", phase=phase)
    assert steps(net)["fc+relu"].note == "fused ReLU"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_gradients_add_up(precision, make_engine):
    text = inputs(4, 3, 2, 2) + conv(8) + product(6, "fc", "conv") + relu("fc") + product(3, "y", "fc")
    assert_as_on_the_host(text, make_engine(precision=precision), accumulate=True)


def test_shared_weights(make_engine):
    names = 'param { name: "w" } param { name: "b" }'
    text = inputs(4, 6) + product(6, "one", "x", params=names) + relu("one") + product(6, "y", "one", params=names)
    assert_as_on_the_host(text, make_engine())


@pytest.mark.parametrize("rates", [(0, 1), (1, 0)])
def test_frozen_parameters_have_no_gradient(rates, make_engine):
    params = " ".join(f"param {{ lr_mult: {rate} }}" for rate in rates)
    text = inputs(4, 6) + product(6, "fc", "x", params=params) + relu("fc") + product(5, "y", "fc")
    net = assert_as_on_the_host(text.replace("force_backward: true", "") + LOSS, make_engine())
    assert [blob.host_diff().any() for blob in net.params["fc"]] == [bool(rate) for rate in rates]


def test_other_axes_are_left_to_the_layer(make_engine):
    net = assert_as_on_the_host(inputs(4, 3, 6) + product(5, "y", "x", "axis: 2"), make_engine())
    assert steps(net)["y"].note == "rows of more than one axis"


@pytest.mark.parametrize("bias", ["true", "false"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_padding_stays_zero_where_values_are_infinite(precision, bias, make_engine):
    text = inputs(4, 6) + product(5, "y", "x", f"bias_term: {bias}")
    host, device = (net_of_text(text, engine=each, seed=SEED) for each in ("numpy", make_engine(precision=precision)))
    for net in (host, device):
        feed(net)
        net.blobs["x"].mutable_data[1] = np.inf
        with np.errstate(invalid="ignore"):
            net.run_forward()
    assert not padding(device.blobs["y"]).any()
    found, expected = device.blobs["y"].host(), host.blobs["y"].host()
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(found[~finite], expected[~finite])
    assert_near(found[finite], expected[finite], TOLERANCES[precision])


# -- dropout


def dropped_by(pass_number, shape, ratio):
    """The mask that the net's random stream gives, in the order of the values."""
    draws = PhiloxDraws(Streams(SEED), np)
    drawn = [draws.uniform("drop", shape, np.float32) for _ in range(pass_number + 1)]
    return drawn[-1] >= np.float32(ratio)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_relu_and_dropout_are_fused_without_a_mask(precision, make_engine):
    ratio, shape = 0.3, (24, 40)
    text = inputs(24, 6) + product(40, "fc", "x") + relu("fc")
    device = net_of_text(text + dropout("fc", "fc", ratio), engine=make_engine(precision=precision), seed=SEED)
    assert steps(device)["fc+relu+drop"].note == "fused ReLU and dropout"
    host = net_of_text(text, engine="numpy", seed=SEED)
    feed(host, seed=1)
    host.run_forward()
    rectified, dy = host.blobs["fc"].host(), np.random.default_rng(2).standard_normal(shape)
    for number in range(PASSES):
        found = run(device)
        kept = dropped_by(number, shape, ratio) / (1 - ratio)
        assert_near(found["fc"], rectified * kept, TOLERANCES[precision], "result")
        through = dy * (found["fc"] > 0) / (1 - ratio)
        weights, x = host.params["fc"][0].host(), host.blobs["x"].host()
        gradients = {"x diff": through @ weights, "fc.0 diff": through.T @ x, "fc.1 diff": through.sum(axis=0)}
        for name, expected in gradients.items():
            assert_near(found[name], expected, TOLERANCES[precision], name)


def test_fused_dropout_writes_zeros_to_the_padding(make_engine):
    text = inputs(4, 6) + product(5, "fc", "x") + relu("fc") + dropout("fc", "fc", 0.1)
    net = net_of_text(text, engine=make_engine(precision="bf16"), seed=SEED)
    feed(net)
    net.run_forward()
    assert not padding(net.blobs["fc"]).any()


def test_dropout_behind_a_leaky_relu_is_a_step_of_its_own(make_engine):
    text = inputs(4, 6) + product(8, "fc", "x") + relu("fc", 0.1) + dropout("fc", "fc")
    assert {"fc+relu", "drop"} <= steps(net_of_text(text, engine=make_engine(), seed=SEED)).keys()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("top", ["x", "y"])
@pytest.mark.parametrize("shape", [(3, 5, 3, 7), (40, 70)])
def test_dropout_of_row_major_values(shape, top, precision, make_engine):
    net = net_of_text(inputs(*shape) + dropout("x", top, 0.4), engine=make_engine(precision=precision), seed=SEED)
    assert steps(net)["drop"].run_by == "cudnn"
    for number in range(PASSES):
        factors = dropped_by(number, shape, 0.4) / 0.6
        feed(net, seed=1)
        x, dy = net.blobs["x"].host(), np.random.default_rng(2).standard_normal(shape)
        net.run_forward()
        net.backward(**{top: dy})
        assert_near(net.blobs[top].host(), x * factors, 1e-6)
        assert_near(net.blobs["x"].host_diff(), dy * factors, 1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("top", ["conv", "y"])
def test_dropout_of_channels_last_values(top, precision, make_engine):
    text = inputs(8, 3, 9, 7) + conv(5)
    host = net_of_text(text, engine="numpy", seed=SEED)
    feed(host, seed=1)
    host.run_forward()
    x = host.blobs["conv"].host()
    net = net_of_text(text + dropout("conv", top, 0.4), engine=make_engine(precision=precision), seed=SEED, keep="all")
    assert steps(net)["drop"].run_by == "cudnn"
    padded = 8
    for number in range(PASSES):
        found = run(net)
        kept = dropped_by(number, (8, 9, 7, padded), 0.4)[..., :5].transpose(0, 3, 1, 2)
        assert_near(found[top], x * kept / 0.6, TOLERANCES[precision])
        dy = np.random.default_rng(2).standard_normal(x.shape) * kept / 0.6
        assert_near(found["conv.1 diff"], dy.sum(axis=(0, 2, 3)), TOLERANCES[precision])


@pytest.mark.parametrize("top", ["conv", "y"])
def test_dropout_does_nothing_in_test_phase(top, make_engine):
    text = inputs(2, 3, 4, 4) + conv(5) + dropout("conv", top)
    assert_as_on_the_host(text, make_engine(), phase=TEST)


# -- deconvolution

DECONVOLUTIONS = {
    "plain": (3, "num_output: 5 kernel_size: 3"),
    "upsampling": (4, "num_output: 6 kernel_size: 4 stride: 2 pad: 1"),
    "uneven": (7, "num_output: 9 kernel_h: 2 kernel_w: 3 stride_h: 3 stride_w: 1 pad_h: 0 pad_w: 2"),
    "dilated": (5, "num_output: 3 kernel_size: 3 dilation: 2 bias_term: false"),
    "groups": (16, "num_output: 8 group: 2 kernel_size: 3 stride: 2"),
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", DECONVOLUTIONS)
def test_deconvolutions(kind, precision, make_engine):
    channels, options = DECONVOLUTIONS[kind]
    text = inputs(2, 3, 5, 4) + conv(channels) + deconv("up", "conv", options) + conv(3, "y", "up")
    net = assert_as_on_the_host(text, make_engine(precision=precision), keep="outputs", accumulate=True)
    assert steps(net)["up"].run_by == "cudnn"


@pytest.mark.parametrize("bias", ["true", "false"])
def test_a_relu_behind_a_deconvolution_is_fused(bias, make_engine):
    up = deconv("up", "x", f"num_output: 5 kernel_size: 3 stride: 2 bias_term: {bias}")
    net = assert_as_on_the_host(inputs(2, 3, 5, 4) + up + relu("up", 0.1) + conv(3, "y", "up"), make_engine())
    assert steps(net)["up+relu"].note == "fused ReLU"
