"""Scale by a bottom with one value per image and channel, on the layouts of convolutions, in place and not."""

from __future__ import annotations

import numpy as np
import pytest

from cafx.kernel import TEST, TRAIN, Net, Phase, schema
from cafx_engine_onednn import OneDNN

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason=str(OneDNN.unavailable()))

NET = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 3 dim: 4 dim: 5 dim: 7 }} }} }}
layer {{ name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param {{
  num_output: {channels} kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "p" top: "ip" inner_product_param {{
  num_output: {channels} weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "g" type: "Sigmoid" bottom: "ip" top: "g" }}
layer {{ name: "s" type: "Scale" bottom: "c" bottom: "g" top: "{top}" scale_param {{ axis: 0 }} }}
layer {{ name: "l" type: "Reduction" bottom: "{top}" top: "l" reduction_param {{ operation: SUMSQ }} {weight} }}"""


def results(engine: str, phase: Phase, text: str) -> tuple[list[np.ndarray], str]:
    """The loss and all gradients of the second pass, and who has run the Scale."""
    rng = np.random.default_rng(0)
    with Net(schema().parse_text(text, "NetParameter"), phase, engine=engine, seed=1) as net:
        for _ in range(2):
            net.blobs["x"].set_data(rng.standard_normal((3, 4, 5, 7)))
            net.clear_param_diffs()
            net.run_forward()
            if phase is TRAIN:
                net.run_backward()
        diffs = [blob.host_diff() for blobs in net.params.values() for blob in blobs] if phase is TRAIN else []
        (run_by,) = (part.run_by for part in net.program.parts if part.name == "s")
        return [net.blobs["l"].host(), *diffs], run_by


@pytest.mark.parametrize(
    ("top", "phase", "runs"),
    [("y", TRAIN, "onednn"), ("c", TRAIN, "plain"), ("y", TEST, "onednn"), ("c", TEST, "onednn")],
)
@pytest.mark.parametrize("channels", [5, 16, 32, 40])
def test_values_and_gradients_are_numpy_s(channels: int, top: str, phase: Phase, runs: str) -> None:
    text = NET.format(channels=channels, top=top, weight="loss_weight: 1" if phase is TRAIN else "")
    (found, run_by), (expected, _) = (results(engine, phase, text) for engine in ("onednn", "numpy"))
    assert run_by == runs
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())
