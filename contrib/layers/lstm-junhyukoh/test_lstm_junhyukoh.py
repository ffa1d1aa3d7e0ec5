"""Lstm beyond the conformance suite."""

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestLstm = layer_suite("Lstm")

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
