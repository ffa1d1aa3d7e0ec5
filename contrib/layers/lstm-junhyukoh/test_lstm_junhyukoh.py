"""Lstm beyond the conformance suite."""

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, plugin_suite, run_layer
from cafx.kernel import TEST, TRAIN, CafxError, Net, Phase, registry, schema

TestLstm = layer_suite("Lstm")
TestRoutine = plugin_suite("engine.onednn", "Lstm")

STEPS, SEQUENCES, INPUTS, HIDDEN = 4, 2, 3, 2
RNG = np.random.default_rng(11)
X, DY = RNG.standard_normal((STEPS * SEQUENCES, INPUTS)), RNG.standard_normal((STEPS * SEQUENCES, HIDDEN))
CLIP = np.array([[0, 0], [1, 1], [0, 1], [1, 1]], float).reshape(-1, 1)
PARAMS = [RNG.standard_normal(shape) for shape in ((8, INPUTS), (8, HIDDEN), (8,))]


def sigmoid(z: float) -> float:
    return float(1 / (1 + np.exp(-z)))


def transcription(limit: float) -> tuple[Any, Any, Any, Any]:
    """Top and gradients of x, W_x and W_h, one sequence, step and unit at a time."""
    weights, recurrent, bias = PARAMS
    top, dx = np.zeros((STEPS, SEQUENCES, HIDDEN)), np.zeros((STEPS, SEQUENCES, INPUTS))
    dweights, drecurrent = np.zeros_like(weights), np.zeros_like(recurrent)
    x, dy = X.reshape(STEPS, SEQUENCES, INPUTS), DY.reshape(STEPS, SEQUENCES, HIDDEN)
    for n in range(SEQUENCES):
        h, c, steps = np.zeros(HIDDEN), np.zeros(HIDDEN), []
        for t in range(STEPS):
            if not CLIP[t * SEQUENCES + n, 0]:
                h, c = np.zeros(HIDDEN), np.zeros(HIDDEN)
            z = weights @ x[t, n] + recurrent @ h + bias
            i, f, o = (np.array([sigmoid(z[k * HIDDEN + d]) for d in range(HIDDEN)]) for k in range(3))
            g = np.tanh(z[3 * HIDDEN :])
            steps.append((h, c, i, f, o, g, f * c + i * g))
            c = f * c + i * g
            h = o * np.tanh(c)
            top[t, n] = h
        dh, dc = np.zeros(HIDDEN), np.zeros(HIDDEN)
        for t in reversed(range(STEPS)):
            h, c, i, f, o, g, new = steps[t]
            dh = dh + dy[t, n]
            dc = dc + dh * o * (1 - np.tanh(new) ** 2)
            parts = dc * g * i * (1 - i), dc * c * f * (1 - f), dh * np.tanh(new) * o * (1 - o), dc * i * (1 - g * g)
            dz = np.clip(np.concatenate(parts), -limit, limit)
            dx[t, n] = weights.T @ dz
            dweights += np.outer(dz, x[t, n])
            drecurrent += np.outer(dz, h)
            continues = CLIP[t * SEQUENCES + n, 0]
            dh, dc = continues * (recurrent.T @ dz), continues * dc * f
    return top.reshape(-1, HIDDEN), dx.reshape(-1, INPUTS), dweights, drecurrent


@pytest.mark.parametrize("limit", [0.0, 0.05])
def test_values_and_gradients_are_those_of_the_rule(limit: float) -> None:
    options = {"num_output": HIDDEN, "batch_size": SEQUENCES, "clipping_threshold": limit}
    run = run_layer("Lstm", [X, CLIP], options=options, params=PARAMS, top_diffs=[DY], dtype=np.float64)
    found = run.tops[0], run.bottom_diffs[0], *run.param_diffs[:2]
    limit = np.float32(limit) or np.inf
    for one, two in zip(found, transcription(float(limit)), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-12)


def test_a_marked_sequence_continues_from_the_previous_pass() -> None:
    options = {"num_output": HIDDEN}
    clip = np.array([0, 1, 1, 1], float).reshape(-1, 1)
    whole = run_layer("Lstm", [X[:4], clip], options=options, params=PARAMS, dtype=np.float64)
    halves = run_layer("Lstm", [X[:2], clip[:2]], options=options, params=PARAMS, dtype=np.float64)
    halves.net.blobs[halves.net.inputs[0]].set_data(X[2:4])
    halves.net.blobs[halves.net.inputs[1]].set_data(clip[2:])
    second = halves.net.forward()[halves.net.outputs[0]]
    np.testing.assert_allclose(second, whole.tops[0][2:], rtol=1e-12)


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        ([(4, 2)], {}),
        ([(5, 2)], {"num_output": 2, "batch_size": 2}),
        ([(4, 2), (3, 1)], {"num_output": 2}),
        ([()], {"num_output": 2}),
        ([(4, 2)], {"num_output": 2, "batch_size": 0}),
    ],
)
def test_what_does_not_fit_is_refused(shapes: list[Any], options: dict[str, Any]) -> None:
    with pytest.raises(CafxError):
        run_layer("Lstm", [np.zeros(shape) for shape in shapes], options=options)


NET = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: {rows} dim: 3 dim: 2 }} }} }}
layer {{ name: "clip" type: "Input" top: "clip" input_param {{ shape {{ dim: {rows} dim: 1 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param {{ num_output: 5
  weight_filler {{ type: "gaussian" std: 1 }} }} }}
layer {{ name: "l" type: "Lstm" bottom: "ip" {clip} top: "y" lstm_param {{ num_output: {units} batch_size: {sequences}
  clipping_threshold: {limit} weight_filler {{ type: "gaussian" std: 0.4 }} }} }}
layer {{ name: "s" type: "Reduction" bottom: "y" top: "s" reduction_param {{ operation: SUMSQ }} loss_weight: 1 }}"""


def passes(engine: str, phase: Phase, text: str) -> list[np.ndarray]:
    """Tops and gradients of three passes, of which each continues the one before, and the states that are left."""
    rng, found = np.random.default_rng(0), []
    with Net(schema().parse_text(text, "NetParameter"), phase, engine=engine, seed=1) as net:
        (layer,) = (each for each in net.layers if each.name == "l")
        for number in range(3):
            net.clear_param_diffs()
            net.blobs["x"].set_data(rng.standard_normal(net.blobs["x"].shape))
            net.blobs["clip"].set_data(rng.integers(0, 4, net.blobs["clip"].shape) * (0.5 if number else 1))
            net.run_forward()
            found.append(net.blobs["y"].host())
            if phase is TRAIN:
                net.run_backward()
                found += [each.host_diff() for name in ("ip", "l") for each in net.params[name]]
            found += [each.host() for each in layer.carried]
        (run_by,) = (part.run_by for part in net.program.parts if part.name == "l")
        assert run_by == ("plain" if engine == "numpy" else engine)
    return found


@pytest.mark.parametrize("phase", [TEST, TRAIN])
@pytest.mark.parametrize("limit", [0, 0.05])
@pytest.mark.parametrize("clip", ["", 'bottom: "clip"'])
@pytest.mark.parametrize(("steps", "sequences", "units"), [(1, 1, 3), (7, 1, 20), (4, 3, 16), (5, 20, 33)])
def test_onednn_agrees_pass_after_pass(
    steps: int, sequences: int, units: int, clip: str, limit: float, phase: Phase
) -> None:
    if reason := registry().load("engine", "onednn").unavailable():
        pytest.skip(reason)
    text = NET.format(rows=steps * sequences, sequences=sequences, units=units, clip=clip, limit=limit)
    for one, other in zip(*(passes(engine, phase, text) for engine in ("onednn", "numpy")), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * max(1, np.abs(other).max()))
