"""Activations in small nets and in either layout, as the numpy engine."""

import numpy as np
import pytest

from cafx.conformance.nets import assert_all_near, feed, net_of_text, param_gradients
from cafx.kernel import TEST, TRAIN
from cafx_engine_cudnn.places import ChannelsLast

TOLERANCES = {"float32": 1e-4, "bf16": 0.02}
PRECISIONS = ["float32", "bf16"]
PASSES = 4
BUT_THE_SIGN = 0x7FFF
"""The bits of a bfloat16 that are 0 in both zeros."""
SEED = 6
NARROW, WIDE, FLAT = (2, 5, 9, 7), (3, 40, 23, 21), (3, 11)
ACTIVATIONS = {
    "AbsVal": "",
    "BNLL": "",
    "Clip": "clip_param { min: -0.5 max: 1.5 }",
    "ELU": "elu_param { alpha: 0.4 }",
    "Exp": "exp_param { base: 2 scale: 0.5 shift: 0.3 }",
    "Log": "log_param { base: 2 scale: 0.1 shift: 3 }",
    "Power": "power_param { power: 2 scale: 0.5 shift: 0.3 }",
    "ReLU": "relu_param { negative_slope: 0.2 }",
    "Sigmoid": "",
    "Swish": "swish_param { beta: 1.5 }",
    "TanH": "",
}
IN_PLACE = [kind for kind in ACTIVATIONS if kind not in ("AbsVal", "Log", "Power")]


def inputs(*shape):
    dims = " ".join(f"dim: {length}" for length in shape)
    return f'force_backward: true layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}'


def pool():
    """A layer that writes channels-last, exactly what it reads."""
    return 'layer { name: "same" type: "Pooling" bottom: "x" top: "same" pooling_param { kernel_size: 1 } }'


def activation(kind, options, bottom="x", top="y"):
    return f'layer {{ name: "f" type: "{kind}" bottom: "{bottom}" top: "{top}" {options} }}'


def prelu(bottom="x", top="y", *, shared=False):
    filler = 'filler { type: "uniform" min: -0.5 max: 0.5 }'
    return activation("PReLU", f"prelu_param {{ channel_shared: {str(shared).lower()} {filler} }}", bottom, top)


def rounded(values):
    """The nearest bfloat16, as float32."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def run(net, *, accumulate=False):
    """The output and all gradients of one forward and backward pass, on values that bfloat16 can have."""
    feed(net, seed=1)
    net.blobs["x"].set_data(rounded(net.blobs["x"].host()))
    if not accumulate:
        net.clear_param_diffs()
    net.run_forward()
    (name,) = net.outputs
    net.backward(**{name: rounded(np.random.default_rng(2).standard_normal(net.blobs[name].shape))})
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


def step_of(net, name="f"):
    return next(step for step in net.program.steps if step.name == name)


def padding(blob, kind="synced_data"):
    """What lies behind the channels in a blob's channels-last copy."""
    storage = getattr(blob, kind)
    (place,) = (place for place in storage.current if isinstance(place, ChannelsLast))
    values = storage.read(place).get().reshape(-1, place.extent.padded)[:, blob.shape[1] :]
    return values & BUT_THE_SIGN if values.dtype == np.uint16 else values


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_channels_last_values_are_worked_on_as_they_lie(kind, precision, make_engine):
    engine = make_engine(precision=precision)
    text = inputs(*NARROW) + pool() + activation(kind, ACTIVATIONS[kind], "same")
    net = assert_as_on_the_host(text, engine)
    assert step_of(net).run_by == "cudnn"
    assert not padding(net.blobs["y"]).any()
    assert not padding(net.blobs["same"], "synced_diff").any()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", [FLAT, (7,), WIDE])
@pytest.mark.parametrize("kind", ["Exp", "ReLU", "Swish"])
def test_row_major_values_stay_so(kind, shape, precision, make_engine):
    """In float32, whatever the precision; the last values make no whole access."""
    engine = make_engine(precision=precision)
    net = assert_as_on_the_host(inputs(*shape) + activation(kind, ACTIVATIONS[kind]), engine)
    assert step_of(net).run_by == "cudnn"
    assert net.blobs["y"].synced_data.is_current(engine.place)
    assert net.blobs["y"].synced_data.read(engine.place).size == np.prod(shape)


@pytest.mark.parametrize("keep", ["all", "outputs"])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", IN_PLACE)
def test_it_works_in_place(kind, precision, keep, make_engine):
    """Behind another layer, before another one in place, and behind what is row-major."""
    engine = make_engine(precision=precision)
    text = inputs(*NARROW) + pool() + activation(kind, ACTIVATIONS[kind], "same", "same")
    net = assert_as_on_the_host(text, engine, keep=keep)
    assert step_of(net).run_by == "cudnn"
    assert_as_on_the_host(inputs(*FLAT) + activation(kind, ACTIVATIONS[kind], "x", "x").replace("f", "g", 1), engine)


@pytest.mark.parametrize("kind", ["Log", "Power"])
def test_gradients_that_are_none_in_place_are_as_written(kind, make_engine):
    text = inputs(*NARROW) + pool() + activation(kind, ACTIVATIONS[kind], "same", "same")
    step = step_of(net_of_text(text, engine=make_engine()))
    assert step.run_by == "plain"
    assert "in place" in step.note
    forward_only = text.replace("force_backward: true", "")
    assert step_of(net_of_text(forward_only, TEST, engine=make_engine())).run_by == "cudnn"


@pytest.mark.parametrize(
    ("kind", "options"),
    [*ACTIVATIONS.items(), ("Threshold", ""), ("ReLU", "")],
    ids=[*ACTIVATIONS, "Threshold", "ReLU without slope"],
)
def test_what_is_not_finite_is_as_on_the_host(kind, options, make_engine):
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 200.0, -200.0, 1e-30], np.float32)
    if kind == "ELU":
        values[1] = 1e30  # the host multiplies infinity by a mask
    text = inputs(8) + activation(kind, options)
    results = []
    for engine in (make_engine(), "numpy"):
        net = net_of_text(text, engine=engine)
        net.blobs["x"].set_data(values)
        with np.errstate(all="ignore"):
            net.run_forward()
            results.append([net.blobs["y"].host()])
            if kind != "Threshold":
                net.backward(y=np.ones(8))
                results[-1].append(net.blobs["x"].host_diff())
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-30)


def test_a_negative_alpha_is_computed_as_written(make_engine):
    step = step_of(net_of_text(inputs(2, 3) + activation("ELU", "elu_param { alpha: -1 }"), engine=make_engine()))
    assert step.run_by == "plain"
    assert "negative alpha" in step.note


# -- PReLU


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shape", [NARROW, WIDE, FLAT, (2, 3, 2, 2, 3)])
def test_prelu_is_as_on_the_host(shape, shared, precision, make_engine):
    net = assert_as_on_the_host(inputs(*shape) + prelu(shared=shared), make_engine(precision=precision))
    assert step_of(net).run_by == "cudnn"
    assert not padding(net.blobs["y"]).any()
    assert not padding(net.blobs["x"], "synced_diff").any()


@pytest.mark.parametrize("keep", ["all", "outputs"])
@pytest.mark.parametrize("shared", [False, True])
def test_prelu_works_in_place(shared, keep, make_engine):
    text = inputs(*NARROW) + pool() + prelu("same", "same", shared=shared)
    net = assert_as_on_the_host(text, make_engine(), keep=keep)
    (routine,) = step_of(net).routines
    assert routine.nbytes == routine._kept.nbytes == 2 * 9 * 7 * 8 * 4
    routine.release()
    assert routine._kept is None


@pytest.mark.parametrize("shared", [False, True])
def test_gradients_of_slopes_add_up(shared, make_engine):
    assert_as_on_the_host(inputs(*NARROW) + prelu(shared=shared), make_engine(), accumulate=True)


@pytest.mark.parametrize("shared", [False, True])
def test_only_the_gradients_that_are_needed_are_computed(shared, make_engine):
    frozen = prelu(shared=shared).replace('type: "PReLU"', 'type: "PReLU" param { lr_mult: 0 }')
    assert_as_on_the_host(inputs(*NARROW) + frozen, make_engine())
    net = net_of_text(
        (inputs(*NARROW) + prelu(shared=shared)).replace("force_backward: true", ""), engine=make_engine()
    )
    host = net_of_text((inputs(*NARROW) + prelu(shared=shared)).replace("force_backward: true", ""), engine="numpy")
    for each in (net, host):
        feed(each, seed=1)
        each.blobs["x"].set_data(rounded(each.blobs["x"].host()))
        each.run_forward()
        each.backward(y=np.ones(NARROW))
    assert_all_near(param_gradients(net), param_gradients(host), TOLERANCES["float32"])


def test_prelu_without_backward_keeps_nothing(make_engine):
    text = (inputs(*NARROW) + pool() + prelu("same", "same")).replace("force_backward: true", "")
    (routine,) = step_of(net_of_text(text, TEST, engine=make_engine())).routines
    assert routine.nbytes == 0
