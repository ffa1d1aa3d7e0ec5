"""Eltwise, Split, Concat and Slice between layers on channels-last memory, as the numpy engine."""

import numpy as np
import pytest

from cafx.conformance.nets import assert_all_near, feed, net_of_text, param_gradients

TOLERANCE = 1e-4
NORM_TOLERANCE, BEHIND_RELU = 0.03, 0.2
"""Of the norm of a difference in bf16, whose rounding turns single signs that a ReLU's gradient depends on."""
PRECISIONS = ["float32", "bf16"]
PASSES = 4
BUT_THE_SIGN = 0x7FFF
"""The bits of a bfloat16 that are 0 in both zeros."""
SEED = 4


def inputs(*shape, name="x"):
    dims = " ".join(f"dim: {length}" for length in shape)
    shape = f"input_param {{ shape {{ {dims} }} }}"
    return f'force_backward: true layer {{ name: "{name}" type: "Input" top: "{name}" {shape} }}'


def conv(outputs, top, bottom="x"):
    return f"""layer {{ name: "{top}" type: "Convolution" bottom: "{bottom}" top: "{top}"
      convolution_param {{ num_output: {outputs} kernel_size: 3 pad: 1
        weight_filler {{ type: "xavier" }} bias_filler {{ type: "gaussian" std: 0.3 }} }} }}"""


def layer(kind, bottoms, tops, options="", name="joining"):
    listed = " ".join([*(f'bottom: "{bottom}"' for bottom in bottoms), *(f'top: "{top}"' for top in tops)])
    return f'layer {{ name: "{name}" type: "{kind}" {listed} {options} }}'


def relu(blob, slope=0.0):
    return f"""layer {{ name: "relu" type: "ReLU" bottom: "{blob}" top: "{blob}"
      relu_param {{ negative_slope: {slope} }} }}"""


def branches(*outputs):
    """Convolutions a, b, … of x."""
    return "".join(conv(count, top) for count, top in zip(outputs, "abcdefg", strict=False))


def run(net, *, accumulate=False):
    """The outputs and all gradients of one forward and backward pass."""
    feed(net, seed=1)
    if not accumulate:
        net.clear_param_diffs()
    net.run_forward()
    rng = np.random.default_rng(2)
    net.backward(**{name: rng.standard_normal(net.blobs[name].shape) for name in net.outputs})
    outputs = {name: net.blobs[name].host() for name in net.outputs}
    return {**outputs, "x diff": net.blobs["x"].host_diff(), **param_gradients(net)}


def compare(found, expected, engine, text):
    """Value by value in float32, by norms in bf16."""
    tolerance = BEHIND_RELU if "ReLU" in text or "MAX" in text else NORM_TOLERANCE
    if engine.precision == "float32":
        assert_all_near(found, expected, TOLERANCE)
        return
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert np.linalg.norm(found[name] - values) <= tolerance * np.linalg.norm(values) + 1e-6, name


def assert_no_padding(net):
    """What lies behind the channels is 0, in values and gradients."""
    for blob in net.blobs.values():
        for storage in (blob.synced_data, blob.synced_diff):
            for place in storage.current:
                extent = getattr(place, "extent", None)
                if extent is not None:
                    rows = storage.read(place).get().reshape(-1, extent.padded)[:, extent.channels :]
                    assert not (rows & BUT_THE_SIGN if rows.dtype == np.uint16 else rows).any(), blob.name


def assert_as_on_the_host(text, engine, *, keep="all", accumulate=False):
    """Four passes, of which the last is a recorded one; the net on the GPU."""
    host = net_of_text(text, engine="numpy", seed=SEED)
    device = net_of_text(text, engine=engine, seed=SEED, keep=keep)
    for _ in range(PASSES):
        expected, found = (run(net, accumulate=accumulate) for net in (host, device))
        compare(found, expected, engine, text)
    assert_no_padding(device)
    assert not device.program.recorder.refused
    return device


def steps(net):
    return {step.name: step for step in net.program.steps}


SUM, PROD, MAX = (f"operation: {name}" for name in ("SUM", "PROD", "MAX"))
COMBINATIONS = [
    *((2, operation) for operation in (SUM, PROD, MAX)),
    *((4, operation) for operation in (SUM, PROD, MAX)),
    (3, "coeff: [2, -1, 0.5]"),
    (6, "coeff: [1, 2, -1, 1, 0.5, -2]"),
    (7, SUM),
]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("count", "options"), COMBINATIONS)
@pytest.mark.parametrize("slope", [None, 0.1], ids=["linear", "relu"])
def test_eltwise(count, options, slope, precision, make_engine):
    text = inputs(2, 3, 5, 4) + branches(*[5] * count)
    text += layer("Eltwise", "abcdefg"[:count], ["y"], f"eltwise_param {{ {options} }}")
    text += "" if slope is None else relu("y", slope)
    net = assert_as_on_the_host(text, make_engine(precision=precision))
    assert steps(net)["joining" if slope is None else "joining+relu"].run_by == "cudnn"


@pytest.mark.parametrize("operation", [SUM, PROD, MAX])
def test_values_in_no_whole_packs(operation, make_engine):
    """Row-major arrays whose length is no multiple of an access; they stay row-major."""
    text = inputs(3, 5) + inputs(3, 5, name="z").replace("force_backward: true", "")
    text += layer("Eltwise", ["x", "z"], ["y"], f"eltwise_param {{ {operation} }}") + relu("y")
    net = assert_as_on_the_host(text, make_engine(precision="bf16"))
    assert "channels" not in next(iter(net.blobs["y"].synced_data.current)).name


def test_equal_values(make_engine):
    """The gradient of a maximum goes to one of several equal bottoms, as on the host."""
    text = inputs(2, 3, 4, 4) + "".join(layer("ReLU", ["x"], [top], name=top) for top in "abc")
    text += layer("Eltwise", "abc", ["y"], f"eltwise_param {{ {MAX} }}")
    net = assert_as_on_the_host(text, make_engine())
    given = [bool(net.blobs[top].host_diff().any()) for top in "abc"]
    assert given == [False, True, False]


@pytest.mark.parametrize(
    ("count", "options", "note"),
    [
        (5, PROD, "PROD of more than 4 bottoms"),
        (5, MAX, "MAX of more than 4 bottoms"),
        (2, f"{PROD} stable_prod_grad: false", "gradients by division"),
    ],
)
def test_eltwise_runs_as_written(count, options, note, make_engine):
    text = inputs(2, 3, 3, 3) + branches(*[4] * count)
    net = assert_as_on_the_host(
        text + layer("Eltwise", "abcdefg"[:count], ["y"], f"eltwise_param {{ {options} }}"), make_engine()
    )
    assert (steps(net)["joining"].run_by, steps(net)["joining"].note) == ("plain", note)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("readers", [2, 4, 6])
def test_split(readers, precision, make_engine):
    """The gradients of all readers of a blob; sharing memory with others."""
    text = inputs(2, 3, 5, 4) + conv(5, "h") + "".join(conv(4, top, "h") for top in "abcdef"[:readers])
    text += layer("Eltwise", "abcdef"[:readers], ["y"])
    for keep in ("all", "outputs"):
        net = assert_as_on_the_host(text, make_engine(precision=precision), keep=keep, accumulate=True)
        assert steps(net)["h_h_0_split"].run_by == "cudnn"


def test_split_whose_readers_have_no_gradient(make_engine):
    """A reader without a gradient adds nothing, whatever is in its memory."""
    text = inputs(2, 3, 4, 4) + conv(5, "h") + conv(4, "a", "h")
    text += conv(4, "b", "h").replace("convolution_param", "propagate_down: false convolution_param")
    for keep in ("all", "outputs"):
        assert_as_on_the_host(text, make_engine(), keep=keep)


CHANNELS = [(8, 8), (16, 8, 24), (3, 5), (4, 3), (8, 4, 1), (1, 8), (8, 5), (5, 2, 6), (2, 2, 2, 2)]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("outputs", CHANNELS, ids=str)
def test_concat(outputs, precision, make_engine):
    text = (
        inputs(2, 3, 4, 5) + branches(*outputs) + layer("Concat", "abcd"[: len(outputs)], ["y"]) + conv(3, "last", "y")
    )
    net = assert_as_on_the_host(text, make_engine(precision=precision))
    assert steps(net)["joining"].run_by == "cudnn"


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("outputs", CHANNELS, ids=str)
def test_slice(outputs, precision, make_engine):
    bounds = np.cumsum(outputs)
    points = ", ".join(map(str, bounds[:-1]))
    tops = "abcd"[: len(outputs)]
    text = inputs(2, 3, 4, 5) + conv(bounds[-1], "h")
    text += layer("Slice", ["h"], tops, f"slice_param {{ slice_point: [{points}] }}")
    text += "".join(conv(2, f"{top}_", top) for top in tops)
    net = assert_as_on_the_host(text, make_engine(precision=precision))
    assert steps(net)["joining"].run_by == "cudnn"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_along_images(precision, make_engine):
    text = (
        inputs(2, 3, 4, 5) + branches(5, 5) + layer("Concat", "ab", ["y"], "concat_param { axis: 0 }") + relu("y", 0.5)
    )
    text += layer("Slice", ["y"], "cd", "slice_param { axis: 0 slice_point: 1 }", "cut")
    text += conv(2, "last", "d")
    net = assert_as_on_the_host(text, make_engine(precision=precision))
    assert {steps(net)[name].run_by for name in ("joining", "cut")} == {"cudnn"}


def test_along_positions(make_engine):
    """Channels-last arrays are not cut through their images; row-major ones are, along any axis."""
    text = inputs(2, 3, 4, 5) + branches(5, 5) + layer("Concat", "ab", ["y"], "concat_param { axis: 2 }")
    net = assert_as_on_the_host(text, make_engine())
    assert steps(net)["joining"].note == "axis 2 of channels-last memory"
    text = inputs(2, 3, 4, 5) + layer("Slice", ["x"], "ab", "slice_param { axis: 2 slice_point: 1 }", "cut")
    text += layer("Concat", "ba", ["y"], "concat_param { axis: 2 }")
    net = assert_as_on_the_host(text, make_engine(precision="bf16"))
    assert {steps(net)[name].run_by for name in ("joining", "cut")} == {"cudnn"}


@pytest.mark.parametrize("kind", ["Flatten", "Reshape"])
def test_another_shape_moves_nothing(kind, make_engine):
    pool = """layer { name: "pool" type: "Pooling" bottom: "a" top: "p"
      pooling_param { pool: AVE global_pooling: true } }"""
    options = "reshape_param { shape { dim: [0, -1] } }" if kind == "Reshape" else ""
    product = """layer { name: "ip" type: "InnerProduct" bottom: "p" top: "ip"
      inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }"""
    plain = inputs(4, 3, 4, 4) + conv(5, "a") + pool + product
    shaped = plain.replace(product, layer(kind, ["p"], ["f"], options) + product.replace('"p"', '"f"'))
    nets = [assert_as_on_the_host(text, make_engine()) for text in (plain, shaped)]
    counts = [net.program.memory.conversions for net in nets]
    assert counts[0] == counts[1]
