"""Axpy beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, plugin_suite, run_layer
from cafx.kernel import TRAIN, CafxError, Net, registry, schema

TestAxpy = layer_suite("Axpy")


@pytest.mark.parametrize(
    "shapes",
    [
        [(2, 3, 2, 1), (2, 3, 2, 1), (2, 3, 2, 1)],
        [(3, 3), (2, 3, 4), (2, 3, 4)],
        [(2,), (2, 3), (2, 3)],
        [(2,), (2,), (2,)],
        [(2, 3), (2, 3, 4), (2, 3, 5)],
    ],
)
def test_shapes_that_do_not_match_are_refused(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(CafxError, match=r"factor|shape mismatch"):
        run_layer("Axpy", [np.zeros(shape) for shape in shapes])


TestRoutine = plugin_suite("engine.onednn", "Axpy")
NET = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: {batch} dim: 3 dim: {size} dim: 7 }} }} }}
layer {{ name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param {{
  num_output: {channels} kernel_size: 3 pad: 1 weight_filler {{ type: "xavier" }} }} param {{ lr_mult: {learns} }}
  param {{ lr_mult: {learns} }} }}
layer {{ name: "d" type: "Convolution" bottom: "x" top: "d" convolution_param {{
  num_output: {channels} kernel_size: 1 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "g" type: "Sigmoid" bottom: "p" top: "g" }}
layer {{ name: "a" type: "Axpy" bottom: "g" bottom: "{first}" bottom: "d" top: "y" }}
layer {{ name: "s" type: "Reduction" bottom: "y" top: "s" reduction_param {{ operation: SUMSQ }} loss_weight: 1 }}"""


@pytest.mark.parametrize("learns", [0, 1])
@pytest.mark.parametrize("first", ["c", "d"])
@pytest.mark.parametrize(("batch", "channels", "size"), [(2, 16, 5), (3, 48, 33), (2, 20, 6), (5, 3, 64)])
def test_onednn_agrees_in_blocks_and_in_rows(batch: int, channels: int, size: int, first: str, learns: int) -> None:
    text, found = NET.format(batch=batch, channels=channels, size=size, first=first, learns=learns), []
    if reason := registry().load("engine", "onednn").unavailable():
        pytest.skip(reason)
    x = np.random.default_rng(0).standard_normal((batch, 3, size, 7))
    for engine in ("onednn", "numpy"):
        with Net(schema().parse_text(text, "NetParameter"), TRAIN, engine=engine, seed=1) as net:
            for _ in range(2):
                net.clear_param_diffs()
                net.blobs["x"].set_data(x)
                net.run_forward()
                net.run_backward()
            found.append([net.blobs["y"].host(), *(each.host_diff() for each in net.params["d"] + net.params["c"])])
            runs = {part.name: part.run_by for part in net.program.parts}
            assert runs["a"] == ("onednn" if engine == "onednn" else "plain")
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())
