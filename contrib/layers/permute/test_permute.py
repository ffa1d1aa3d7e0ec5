"""Permute beyond the conformance suite."""

import itertools

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError, Net, registry, schema

TestPermute = layer_suite("Permute")

VALUES = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_every_value_moves_to_its_place(order: tuple[int, ...]) -> None:
    run = run_layer("Permute", [VALUES], options={"order": list(order)}, top_diffs=[VALUES.transpose(order) + 1])
    for index in np.ndindex(*VALUES.shape):
        assert run.tops[0][tuple(index[axis] for axis in order)] == VALUES[index]
    np.testing.assert_array_equal(run.bottom_diffs[0], VALUES + 1)


@pytest.mark.parametrize("order", [[0, 0], [4], [1, 2, 3, 0, 1]])
def test_an_axis_that_is_repeated_or_missing_is_refused(order: list[int]) -> None:
    with pytest.raises(CafxError, match="order"):
        run_layer("Permute", [VALUES], options={"order": order})


SSD_HEAD = """
force_backward: true
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 16 dim: 5 dim: 6 }} }} }}
layer {{ name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param {{ num_output: {outputs} kernel_size: 3 pad: 1 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "p" type: "Permute" bottom: "c" top: "p" permute_param {{ order: {first} order: 2 order: 3 }} }}
"""


@pytest.mark.parametrize("outputs", [16, 24])
@pytest.mark.parametrize("first", [0, 1])
def test_onednn_reads_what_a_convolution_writes_without_a_conversion(outputs: int, first: int) -> None:
    if reason := registry().load("engine", "onednn").unavailable():
        pytest.skip(reason)
    text = SSD_HEAD.format(outputs=outputs, first=first)
    nets = [Net(schema().parse_text(text, "NetParameter"), engine=name) for name in ("numpy", "onednn")]
    nets[1].share_with(nets[0])
    rng, results, gradients = np.random.default_rng(2), [], []
    x, dy = rng.standard_normal((2, 16, 5, 6)), rng.standard_normal(nets[0].blobs["p"].shape)
    for net in nets:
        results.append(net.forward(x=x)["p"])
        gradients.append(net.backward(p=dy)["x"])
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-5)
    convolution, permute = (part.routines[0] for part in nets[1].program.parts[1:])
    assert convolution.forward_desc.dst == permute.source
