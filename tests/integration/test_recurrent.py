"""What RNN and LSTM have in common: hidden states go on from forward to forward, until cont is 0."""

from __future__ import annotations

import numpy as np
import pytest

from cafx.conformance import run_layer
from cafx.kernel import Net

OPTIONS = {"num_output": 3, "weight_filler": {"type": "constant", "value": 0.3}}
STEPS = np.random.default_rng(7).standard_normal((4, 2, 3))
BOTH = pytest.mark.parametrize("type_name", ["RNN", "LSTM"])


def forward(net: Net, steps: slice, cont: np.ndarray) -> np.ndarray:
    return net.forward(bottom0=STEPS[steps], bottom1=cont)["top0"]


@BOTH
def test_two_forwards_are_one_where_the_second_goes_on(type_name: str) -> None:
    cont = np.array([[0, 0], [1, 1], [1, 1], [1, 1]])
    whole = run_layer(type_name, [STEPS, cont], options=OPTIONS).tops[0]
    net = run_layer(type_name, [STEPS[:2], cont[:2]], options=OPTIONS).net
    np.testing.assert_allclose(forward(net, slice(2, 4), cont[2:]), whole[2:], rtol=1e-5)


@BOTH
def test_a_sequence_that_begins_forgets_what_was_before(type_name: str) -> None:
    begun = np.zeros((1, 2))
    net = run_layer(type_name, [STEPS[:1], begun], options=OPTIONS).net
    alone = forward(net, slice(3, 4), begun)
    forward(net, slice(0, 1), begun)
    np.testing.assert_array_equal(forward(net, slice(3, 4), begun), alone)
