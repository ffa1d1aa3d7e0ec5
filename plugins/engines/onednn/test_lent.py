"""Memory that a data layer lends: another array in every pass, which a layer in place may overwrite, and no other."""

from __future__ import annotations

import numpy as np
import pytest

from cafx.kernel import HOST, Net, Phase, schema

SHAPE = (2, 4, 6, 5)
LAYERS = {
    "Power": "power_param { scale: 2 shift: 1 }",
    "Power-square": "power_param { power: 2 }",
    "ReLU": "",
    "ReLU-leaky": "relu_param { negative_slope: 0.1 }",
    "PReLU": "",
    "TanH": "",
    "Sigmoid": "",
    "BNLL": "",
    "ELU": "",
    "Clip": "clip_param { min: -0.5 max: 0.5 }",
    "Dropout": "",
    "BatchNorm": "",
    "Scale": "scale_param { bias_term: true filler { value: 3 } }",
    "Bias": "bias_param { filler { value: 3 } }",
    "Softmax": "",
}


def made(layer: str, phase: Phase, engine: str) -> Net:
    """A net of an input and one layer in place, and a reader of both."""
    text = f"""
    layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {" ".join(f"dim: {n}" for n in SHAPE)} }} }} }}
    layer {{ name: "f" type: "{layer.partition("-")[0]}" bottom: "x" top: "x" {LAYERS[layer]} }}
    layer {{ name: "r" type: "Pooling" bottom: "x" top: "y" pooling_param {{ kernel_size: 2 }} }}"""
    return Net(schema().parse_text(text, "NetParameter"), phase, engine=engine, seed=1)


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_in_place_writes_to_the_array_of_this_pass_alone(layer: str, phase: Phase) -> None:
    rng, lent = np.random.default_rng(0), [np.empty(np.prod(SHAPE), np.float32) for _ in range(3)]
    with made(layer, phase, "onednn") as net, made(layer, phase, "numpy") as reference:
        for turn in range(7):
            values = rng.standard_normal(lent[0].shape, np.float32)
            current, *others = lent[turn % 3 :] + lent[: turn % 3]
            current[:] = values
            for each in others:
                each[:] = np.nan
            net.blobs["x"].synced_data.mark_written(HOST, current)
            reference.blobs["x"].set_data(values.reshape(SHAPE))
            net.run_forward()
            reference.run_forward()
            for name in ("x", "y"):
                np.testing.assert_allclose(net.blobs[name].host(), reference.blobs[name].host(), 2e-5, 1e-5)
            assert all(np.isnan(each).all() for each in others)
