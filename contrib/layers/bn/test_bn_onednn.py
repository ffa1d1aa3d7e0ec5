"""BN among convolution and ReLU in the oneDNN engine, whatever is fused, gives what the numpy engine gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.kernel import Net, Phase, registry

NET = """
force_backward: %(backward)s
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
        convolution_param { num_output: 20 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "b" type: "BN" bottom: "c" top: "c" bn_param { %(options)s } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "d" type: "Convolution" bottom: "c" top: "d"
        convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
"""
OPTIONS = {
    "pspnet": "eps: 1e-5",
    "frozen": "frozen: true",
    "segnet": "bn_mode: LEARN",
    "inference": "bn_mode: INFERENCE",
}
TOLERANCE = 1e-4

pytestmark = pytest.mark.skipif(
    "onednn" not in registry().names("engine") or registry().load("engine", "onednn").unavailable() is not None,
    reason="the oneDNN engine is not available",
)


def results(path: Path, engine: str, phase: Phase, backward: bool) -> list[Any]:
    """Tops, and gradients, of two passes; the parameters of BN change between them."""
    net = Net(path, phase, engine=engine, seed=1, keep="all" if backward else ["d"])
    rng, found = np.random.default_rng(2), []
    for _ in range(2):
        for blob in net.params["b"]:
            blob.set_data(rng.uniform(0.5, 2.0, blob.shape))
        net.clear_param_diffs()
        found.append(net.forward(x=rng.standard_normal((2, 3, 9, 8)).astype(np.float32))["d"].copy())
        if backward:
            dy = rng.standard_normal(net.blobs["d"].shape).astype(np.float32)
            found.append(net.backward(d=dy)["x"].copy())
            found += [blob.host_diff().copy() for layer in ("c", "b") for blob in net.params[layer]]
        found += [blob.host().copy() for blob in net.params["b"]]
    return found


@pytest.mark.parametrize("fork", OPTIONS)
@pytest.mark.parametrize(("phase", "backward"), [(Phase.TRAIN, True), (Phase.TEST, False), (Phase.TEST, True)])
def test_engines_agree(tmp_path: Path, fork: str, phase: Phase, backward: bool) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(NET % {"options": OPTIONS[fork], "backward": str(backward).lower()})
    one, two = (results(path, engine, phase, backward) for engine in ("numpy", "onednn"))
    for expected, found in zip(one, two, strict=True):
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * max(1, abs(expected).max()))
