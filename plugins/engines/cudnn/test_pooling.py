"""Pooling and LRN in small nets, as the numpy engine."""

import numpy as np
import pytest

from cafx.conformance import nets
from cafx.conformance.nets import assert_all_near, feed, net_of_text, param_gradients
from cafx.kernel import TEST, TRAIN
from cafx_engine_cudnn.places import ChannelsLast

TOLERANCES = {"float32": 1e-4, "bf16": 0.03}
PRECISIONS = ["float32", "bf16"]
PASSES = 4
SEED = 5
MAX, AVE = "kernel_size: 3 stride: 2", "pool: AVE kernel_size: 3 stride: 2"
POOLED = "fused ReLU; its gradient in the pooling"


def inputs(*shape):
    dims = " ".join(f"dim: {length}" for length in shape)
    return f'force_backward: true layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}'


def conv(outputs, bottom="x", top="conv"):
    return f"""layer {{ name: "{top}" type: "Convolution" bottom: "{bottom}" top: "{top}"
      convolution_param {{ num_output: {outputs} kernel_size: 3 pad: 1
        weight_filler {{ type: "xavier" }} bias_filler {{ type: "gaussian" std: 0.3 }} }} }}"""


def relu(blob="conv", slope=0.0):
    return f"""layer {{ name: "relu" type: "ReLU" bottom: "{blob}" top: "{blob}"
      relu_param {{ negative_slope: {slope} }} }}"""


def pool(options, bottom="x", top="pool"):
    return f'layer {{ name: "pool" type: "Pooling" bottom: "{bottom}" top: "{top}" pooling_param {{ {options} }} }}'


def lrn(options, bottom="x"):
    return f'layer {{ name: "lrn" type: "LRN" bottom: "{bottom}" top: "lrn" lrn_param {{ {options} }} }}'


def rounded(values):
    """The nearest bfloat16, as float32."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def run(net, values=None, *, accumulate=False):
    """The output and all gradients of one forward and backward pass, on values that bfloat16 can have."""
    feed(net, seed=1)
    net.blobs["x"].set_data(rounded(net.blobs["x"].host() if values is None else values))
    if not accumulate:
        net.clear_param_diffs()
    net.run_forward()
    (name,) = net.outputs
    net.backward(**{name: rounded(np.random.default_rng(2).standard_normal(net.blobs[name].shape))})
    return {name: net.blobs[name].host(), "x diff": net.blobs["x"].host_diff(), **param_gradients(net)}


def assert_as_on_the_host(text, engine, values=None, *, keep="all", accumulate=False, phase=TRAIN):
    """Four passes, of which the last is a recorded one; the net on the GPU."""
    host = net_of_text(text, phase, engine="numpy", seed=SEED)
    device = net_of_text(text, phase, engine=engine, seed=SEED, keep=keep)
    for _ in range(PASSES):
        expected, found = (run(net, values, accumulate=accumulate) for net in (host, device))
        assert_all_near(found, expected, TOLERANCES[engine.precision])
    assert not device.program.recorder.refused
    return device


def step_of(net, name):
    return next(step for step in net.program.steps if name in [planned.layer.name for planned in step.layers])


def padding(blob, kind="synced_data"):
    """What lies behind the channels in a blob's channels-last copy."""
    storage = getattr(blob, kind)
    (place,) = (place for place in storage.current if isinstance(place, ChannelsLast))
    return storage.read(place).get().reshape(-1, place.extent.padded)[:, blob.shape[1] :]


def assert_padding_is_zero(net, name):
    """In the data and in the gradient behind it."""
    assert not padding(net.blobs[name]).any()
    assert not padding(net.blobs["x"], "synced_diff").any()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((2, 5, 37, 41), MAX),
        ((2, 19, 12, 9), f"{MAX} pad: 1"),
        ((3, 5, 20, 21), AVE),
        ((2, 11, 13, 8), f"{AVE} pad: 1"),
        ((2, 9, 9, 8), "pool: AVE kernel_h: 4 kernel_w: 3 stride_h: 3 stride_w: 1 pad_h: 2 pad_w: 1"),
        ((2, 3, 14, 16), "kernel_size: 5 stride: 1 pad: 2"),
        ((2, 3, 7, 16), "kernel_h: 2 kernel_w: 7 stride_h: 3 stride_w: 8 round_mode: FLOOR"),
        ((1, 3, 16, 15), "kernel_h: 17 kernel_w: 15 stride: 1 pad_h: 2 pad_w: 7"),
        ((2, 5, 6, 7), "global_pooling: true"),
        ((3, 70, 7, 7), "pool: AVE global_pooling: true"),
    ],
)
def test_it_pools_as_the_host_does(shape, options, precision, make_engine):
    engine = make_engine(precision=precision)
    values = np.random.default_rng(3).permutation(np.prod(shape)).reshape(shape) % 251 - 125
    net = assert_as_on_the_host(inputs(*shape) + pool(options), engine, values)
    assert step_of(net, "pool").run_by == "cudnn"
    assert_padding_is_zero(net, "pool")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_mean_of_a_large_plane_is_divided_among_blocks(precision, make_engine, monkeypatch):
    engine = make_engine(precision=precision)
    kernels = recorded_kernels(engine, monkeypatch)
    assert_as_on_the_host(inputs(1, 3, 128, 130) + pool("pool: AVE global_pooling: true"), engine)
    assert {"plane_sums", "plane_means"} <= kernels
    kernels.clear()
    assert_as_on_the_host(inputs(9, 3, 20, 20) + pool("pool: AVE kernel_size: 22 pad: 1"), engine)
    assert "plane_sums" in kernels
    assert "plane_means" not in kernels


def recorded_kernels(engine, monkeypatch):
    """The names of the kernels that run from now on."""
    names = set()
    kernel = engine.arithmetic.kernel
    monkeypatch.setattr(engine.arithmetic, "kernel", lambda file, name: (names.add(name), kernel(file, name))[1])
    return names


@pytest.mark.parametrize("options", ["kernel_size: 2 stride: 2", "global_pooling: true"])
def test_a_maximum_of_what_is_not_finite_is_as_on_the_host(options, make_engine):
    values = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)
    values[0, 0] = -np.inf
    values[0, 1, :2, :2] = np.nan
    values[0, 2, 0, 1], values[1, 0, 3, 3] = np.nan, np.inf
    device, host = (
        net_of_text(inputs(2, 3, 4, 4) + pool(options), engine=engine) for engine in (make_engine(), "numpy")
    )
    found, expected = run(device, values), run(host, values)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("options", "reason"), [("pool: STOCHASTIC kernel_size: 2", "STOCHASTIC"), ("kernel_size: 16", "255")]
)
def test_what_it_cannot_do_runs_as_written(options, reason, make_engine):
    net = net_of_text(inputs(1, 2, 18, 18) + pool(options), engine=make_engine())
    step = step_of(net, "pool")
    assert step.run_by == "plain"
    assert reason in step.note


# -- a ReLU before it


def rectified(slope=0.0, options=MAX, channels=5):
    return inputs(2, 4, 11, 13) + conv(channels) + relu(slope=slope) + pool(options, "conv")


@pytest.mark.parametrize("keep", ["all", "outputs"])
@pytest.mark.parametrize("slope", [0.0, 0.3])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_gradient_of_a_relu_is_computed_in_the_pooling_behind_it(slope, precision, keep, make_engine):
    engine = make_engine(precision=precision)
    if precision == "bf16":
        assert_gradients_belong_to_the_maxima(rectified(slope), engine, slope, keep)
        return
    net = assert_as_on_the_host(rectified(slope), engine, keep=keep)
    assert step_of(net, "pool").note.startswith(POOLED)
    assert len(step_of(net, "pool").layers) == 3


def assert_gradients_belong_to_the_maxima(text, engine, slope, keep):
    """Sums of gradients agree, wherever rounding has moved a maximum to."""
    net = net_of_text(text, engine=engine, seed=SEED, keep=keep)
    for _ in range(PASSES):
        results = run(net)
        y, dy = results["pool"], rounded(np.random.default_rng(2).standard_normal(results["pool"].shape))
        expected = (dy * np.where(y > 0, 1, slope)).sum(axis=(0, 2, 3))
        nets.assert_near(results["conv.1 diff"], expected, TOLERANCES["bf16"])
    assert step_of(net, "pool").note.startswith(POOLED)


def test_gradients_add_up(make_engine):
    assert_as_on_the_host(rectified(), make_engine(), accumulate=True)


def test_what_is_closed_stays_closed_whatever_happens_to_the_pooled_values(make_engine):
    """A layer behind the pooling overwrites them in place and turns their signs."""
    turned = """layer { name: "turned" type: "Scale" bottom: "pool" top: "pool"
      scale_param { filler { type: "constant" value: -1 } } }"""
    net = assert_as_on_the_host(rectified() + turned, make_engine())
    assert step_of(net, "pool").note.startswith(POOLED)


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        (rectified(options=AVE), TRAIN),
        (rectified(options="kernel_h: 11 kernel_w: 12"), TRAIN),
        (rectified().replace("force_backward: true", ""), TEST),
        (rectified() + pool("kernel_size: 2", "conv", "other").replace('name: "pool"', 'name: "other"'), TRAIN),
    ],
    ids=["mean", "large window", "no gradient", "two readers"],
)
def test_a_relu_before_another_pooling_computes_its_own_gradient(text, phase, make_engine):
    device = net_of_text(text, phase, engine=make_engine(), seed=SEED)
    assert POOLED not in step_of(device, "pool").note
    if phase is TRAIN and len(device.outputs) == 1:
        assert_as_on_the_host(text, make_engine())


def test_marks_are_counted_and_released(make_engine):
    net = net_of_text(inputs(2, 5, 9, 9) + pool(MAX), engine=make_engine())
    run(net)
    (routine,) = step_of(net, "pool").routines
    assert routine.nbytes == routine._marks.nbytes == 2 * 8 * 4 * 4
    routine.release()
    assert routine._marks is None
    run(net)


# -- LRN


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("channels", [3, 13, 40])
@pytest.mark.parametrize(
    "options",
    [
        "local_size: 1 alpha: 2",
        "local_size: 3 alpha: 0.5 k: 2",
        "local_size: 5 alpha: 0.3 beta: 0.6",
        "local_size: 7 beta: 0.75",
        "local_size: 15 alpha: 3 beta: 1.5 k: 0.5",
    ],
)
def test_lrn_is_as_on_the_host(options, channels, precision, make_engine):
    net = assert_as_on_the_host(inputs(2, channels, 5, 7) + lrn(options), make_engine(precision=precision))
    assert step_of(net, "lrn").run_by == "cudnn"
    assert_padding_is_zero(net, "lrn")


def test_lrn_pads_with_zeros_where_the_divisor_is_zero(make_engine):
    device, host = (
        net_of_text(inputs(1, 3, 2, 2) + lrn("k: 0 local_size: 3"), engine=engine)
        for engine in (make_engine(), "numpy")
    )
    values = np.random.default_rng(1).standard_normal((1, 3, 2, 2))
    values[:, :, 0, 0] = 0
    with np.errstate(all="ignore"):
        found, expected = run(device, values), run(host, values)
    assert np.isnan(expected["lrn"]).any()
    np.testing.assert_allclose(found["lrn"], expected["lrn"], rtol=1e-5)
    assert_padding_is_zero(device, "lrn")


@pytest.mark.parametrize(
    ("options", "reason"), [("norm_region: WITHIN_CHANNEL", "within"), ("local_size: 17", "15 channels")]
)
def test_what_lrn_cannot_do_runs_as_written(options, reason, make_engine):
    step = step_of(net_of_text(inputs(1, 20, 4, 4) + lrn(options), engine=make_engine()), "lrn")
    assert step.run_by == "plain"
    assert reason in step.note
