"""RNN and LSTM keep their hidden state between forward passes until ``cont`` is 0."""

from __future__ import annotations

import numpy as np
import pytest

from cafx.conformance import run_layer
from cafx.kernel import Net

OPTIONS = {"num_output": 3, "weight_filler": {"type": "constant", "value": 0.3}}
STEPS = np.random.default_rng(7).standard_normal((4, 2, 3))
both_types = pytest.mark.parametrize("type_name", ["RNN", "LSTM"])


def forward(net: Net, steps: slice, cont: np.ndarray) -> np.ndarray:
    return net.forward(bottom0=STEPS[steps], bottom1=cont)["top0"]


@both_types
def test_two_forward_passes_equal_one_over_the_whole_sequence(type_name: str) -> None:
    cont = np.array([[0, 0], [1, 1], [1, 1], [1, 1]])
    whole = run_layer(type_name, [STEPS, cont], options=OPTIONS).tops[0]
    net = run_layer(type_name, [STEPS[:2], cont[:2]], options=OPTIONS).net
    np.testing.assert_allclose(forward(net, slice(2, 4), cont[2:]), whole[2:], rtol=1e-5)


@both_types
def test_a_new_sequence_resets_the_hidden_state(type_name: str) -> None:
    first = np.zeros((1, 2))
    net = run_layer(type_name, [STEPS[:1], first], options=OPTIONS).net
    alone = forward(net, slice(3, 4), first)
    forward(net, slice(0, 1), first)
    np.testing.assert_array_equal(forward(net, slice(3, 4), first), alone)
