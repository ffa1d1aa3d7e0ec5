"""LSTM and RNN in small nets, as the numpy engine."""

import numpy as np
import pytest

from cafx.conformance.nets import assert_all_near, assert_near, net_of_text, param_gradients
from cafx.kernel import TEST, TRAIN

TOLERANCE = 1e-4
PASSES = 5
SEED = 3
STEPS, STREAMS, UNITS = 6, 3, 7
LOSS = """layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1
  reduction_param { operation: SUMSQ } }"""
FILL = 'weight_filler { type: "gaussian" std: 0.4 } bias_filler { type: "gaussian" std: 0.4 }'


def inputs(**shapes):
    layers = ["force_backward: true"]
    for name, lengths in shapes.items():
        dims = " ".join(f"dim: {length}" for length in lengths)
        layers.append(f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}')
    return "\n".join(layers)


@pytest.fixture(params=["LSTM", "RNN"], autouse=True)
def kind(request):
    return request.param


def recurrent(kind, bottoms=("x", "cont"), tops=("y",), options="", units=UNITS, params=""):
    names = " ".join([*(f'bottom: "{name}"' for name in bottoms), *(f'top: "{name}"' for name in tops)])
    return f"""layer {{ name: "layer" type: "{kind}" {names} {params}
      recurrent_param {{ num_output: {units} {FILL} {options} }} }}"""


SEQUENCES = {"x": (STEPS, STREAMS, 5), "cont": (STEPS, STREAMS)}


def plain(kind):
    return inputs(**SEQUENCES) + recurrent(kind)


def run(net, number, *, accumulate=False):
    """Outputs and gradients of one forward and backward pass, on other values in each pass."""
    rng = np.random.default_rng(number)
    for name in net.inputs:
        blob = net.blobs[name]
        blob.set_data(rng.random(blob.shape) < 0.7 if name == "cont" else rng.standard_normal(blob.shape))
    if not accumulate:
        net.clear_param_diffs()
    net.run_forward()
    found = {name: net.blobs[name].host() for name in net.outputs}
    if net.program.plan.has_backward:
        if "y" in net.outputs:
            net.backward(y=rng.standard_normal(net.blobs["y"].shape))
        else:
            net.run_backward()
        found |= {"x diff": net.blobs["x"].host_diff()} | param_gradients(net)
    return found


def make_nets(text, engine, phase=TRAIN, **settings):
    nets = [net_of_text(text, phase, engine=each, seed=SEED, **settings) for each in ("numpy", engine)]
    (step,) = [step for step in nets[1].program.steps if step.name == "layer"]
    assert step.run_by == "cudnn"
    return nets


def assert_equal_passes(host, device, numbers=range(PASSES), **settings):
    for number in numbers:
        expected, found = (run(net, number, **settings) for net in (host, device))
        assert_all_near(found, expected, TOLERANCE)
    assert not device.program.recorder.refused


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("keep", ["all", "outputs"])
def test_states_are_carried_from_pass_to_pass(kind, keep, precision, make_engine):
    assert_equal_passes(*make_nets(plain(kind), make_engine(precision=precision), keep=keep))


def test_one_step(kind, make_engine):
    text = inputs(x=(1, 4, 3), cont=(1, 4)) + recurrent(kind)
    assert_equal_passes(*make_nets(text, make_engine()))


def test_more_values_than_all_threads_work_on_at_once(kind, make_engine):
    text = inputs(x=(2, 40, 6), cont=(2, 40)) + recurrent(kind, units=250)
    assert_equal_passes(*make_nets(text, make_engine()), numbers=range(3))


def test_exposed_states(kind, make_engine):
    states = {"LSTM": "hc", "RNN": "h"}[kind]
    first = {f"{state}0": (1, STREAMS, UNITS) for state in states}
    layer = recurrent(kind, ["x", "cont", *first], ["y", *(f"{state}T" for state in states)], "expose_hidden: true")
    assert_equal_passes(*make_nets(inputs(**SEQUENCES, **first) + layer, make_engine()))


def test_gradients_add_up(kind, make_engine):
    assert_equal_passes(*make_nets(plain(kind), make_engine()), accumulate=True)


def test_frozen_parameters_have_no_gradient(kind, make_engine):
    frozen = {"LSTM": 2, "RNN": 4}[kind]
    text = inputs(**SEQUENCES) + recurrent(kind, params="param { lr_mult: 1 }" + frozen * "param { lr_mult: 0 }")
    host, device = make_nets(text.replace("force_backward: true", "") + LOSS, make_engine())
    assert_equal_passes(host, device)
    assert [blob.host_diff().any() for blob in device.params["layer"]] == [True] + frozen * [False]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_between_other_layers(kind, precision, make_engine):
    pixels = 'num_output: 4 kernel_size: 1 weight_filler { type: "xavier" }'
    text = inputs(image=(STEPS, 2, 2, 3), cont=(STEPS, 4))
    text += f'layer {{ name: "x" type: "Convolution" bottom: "image" top: "x" convolution_param {{ {pixels} }} }}'
    text += recurrent(kind, tops=("h",))
    text += 'layer { name: "y" type: "TanH" bottom: "h" top: "y" }'
    host, device = make_nets(text, make_engine(precision=precision))
    for number in range(3):
        expected, found = (run(net, number) for net in (host, device))
        assert_all_near(found, expected, TOLERANCE if precision == "float32" else 0.04)


def test_inference(kind, make_engine):
    assert_equal_passes(
        *make_nets(plain(kind).replace("force_backward: true", ""), make_engine(), TEST, keep="outputs")
    )


def test_another_number_of_streams_starts_anew(kind, make_engine):
    host, device = make_nets(plain(kind), make_engine())
    assert_equal_passes(host, device)
    for net in (host, device):
        net.blobs["x"].reshape(STEPS, STREAMS + 1, 5)
        net.blobs["cont"].reshape(STEPS, STREAMS + 1)
        net.reshape()
    assert_equal_passes(host, device)


def test_restored_states(kind, make_engine):
    host, device = make_nets(plain(kind), make_engine())
    assert_equal_passes(host, device)
    (layer,) = [layer for layer in device.layers if layer.name == "layer"]
    state = layer.state()
    expected = run(device, 7)
    run(device, 8)
    layer.restore(state)
    assert_all_near(run(device, 7), expected, 0)


def test_saturated_gates(kind, make_engine):
    host, device = make_nets(plain(kind), make_engine())
    for net in (host, device):
        for blob in net.params["layer"][:1]:
            blob.mutable_data[...] *= 1e4
        run(net, 1)
    assert_near(device.blobs["y"].host(), host.blobs["y"].host(), TOLERANCE)


def test_a_static_input_is_left_to_the_layer(kind, make_engine):
    text = inputs(**SEQUENCES, s=(STREAMS, 2)) + recurrent(kind, ["x", "cont", "s"])
    net = net_of_text(text, engine=make_engine())
    assert net.program.steps[-1].note == "static input"
