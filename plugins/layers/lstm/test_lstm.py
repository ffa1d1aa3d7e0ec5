"""What the shared suite cannot know of LSTM."""

import numpy as np
import pytest
from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError, Net

TestLSTM = layer_suite("LSTM")
OPTIONS = {"num_output": 3, "weight_filler": {"type": "constant", "value": 0.3}}
STEPS = np.random.default_rng(7).standard_normal((4, 2, 3))


def forward(net: Net, steps: slice, cont: np.ndarray) -> np.ndarray:
    return net.forward(bottom0=STEPS[steps], bottom1=cont)["top0"]


def test_two_forwards_are_one_where_the_second_goes_on() -> None:
    cont = np.array([[0, 0], [1, 1], [1, 1], [1, 1]])
    whole = run_layer("LSTM", [STEPS, cont], options=OPTIONS).tops[0]
    net = run_layer("LSTM", [STEPS[:2], cont[:2]], options=OPTIONS).net
    np.testing.assert_allclose(forward(net, slice(2, 4), cont[2:]), whole[2:], rtol=1e-5)


def test_a_sequence_that_begins_forgets_what_was_before() -> None:
    begun = np.zeros((1, 2))
    net = run_layer("LSTM", [STEPS[:1], begun], options=OPTIONS).net
    alone = forward(net, slice(3, 4), begun)
    forward(net, slice(0, 1), begun)
    np.testing.assert_array_equal(forward(net, slice(3, 4), begun), alone)


def test_num_output_is_needed() -> None:
    with pytest.raises(CafxError, match="num_output is missing"):
        run_layer("LSTM", [STEPS, np.ones((4, 2))])


def test_exposing_the_hidden_states_needs_bottoms_for_them() -> None:
    with pytest.raises(CafxError, match="expose_hidden"):
        run_layer("LSTM", [STEPS, np.ones((4, 2))], options={"expose_hidden": True, **OPTIONS})
