"""What oneDNN cannot do safely is not asked of it; what the engine keeps is bounded."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from cafx.conformance.nets import net_of_text
from cafx.kernel import TEST, TRAIN
from cafx_engine_onednn import OneDNN, layouts
from cafx_engine_onednn.api.constants import Alg
from cafx_engine_onednn.api.library import DnnlError
from cafx_engine_onednn.api.memory import MemoryDesc
from cafx_engine_onednn.api.normalization import lrn_backward, lrn_forward

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")
TOLERANCE = 1e-5
INPUT = """
force_backward: true
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 8 dim: {0} dim: {0} }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param {{ num_output: 16 kernel_size: 1 weight_filler {{ type: "xavier" }} }} }}
"""
LAYERS = {
    "lrn": 'type: "LRN" lrn_param { local_size: 1 alpha: 2 }',
    "wide": 'type: "Pooling" pooling_param { kernel_size: 41 pad: 40 stride: 7 }',
    "one position": 'type: "Deconvolution" convolution_param { num_output: 3 kernel_size: 1 }',
    "mean": 'type: "Pooling" pooling_param { kernel_size: 41 pad: 40 stride: 7 pool: AVE }',
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", [1, 4])
def test_unusual_options_give_what_numpy_gives(name: str, size: int) -> None:
    text = INPUT.format(size) + f'layer {{ name: "y" bottom: "conv" top: "y" {LAYERS[name]} }}'
    text = text.replace("kernel_size: 1 }", 'kernel_size: 1 weight_filler { type: "xavier" } }')
    found = []
    for engine in ("numpy", "onednn"):
        with net_of_text(text, TRAIN, engine=engine, seed=2) as net:
            rng = np.random.default_rng(0)
            net.blobs["x"].set_data(rng.standard_normal(net.blobs["x"].shape))
            net.forward()
            net.clear_param_diffs()
            net.backward(y=rng.standard_normal(net.blobs["y"].shape).astype(np.float32))
            diffs = [blob.diff.copy() for blobs in net.params.values() for blob in blobs]
            found.append([net.blobs["y"].data.copy(), net.blobs["x"].diff.copy(), *diffs])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=TOLERANCE * max(1, np.abs(one).max()))


@pytest.mark.parametrize("make", [MemoryDesc.plain, MemoryDesc.channels_last])
def test_a_normalisation_over_one_channel_is_refused_before_onednn_crashes(make) -> None:
    desc = make((2, 8, 3, 3))
    with pytest.raises(DnnlError, match="at least 3"):
        lrn_forward(Alg.LRN_ACROSS_CHANNELS, desc, desc, 1, 1.0, 0.75, 1.0)
    forward = lrn_forward(Alg.LRN_ACROSS_CHANNELS, desc, desc, 3, 1.0, 0.75, 1.0)
    with pytest.raises(DnnlError, match="at least 3"):
        lrn_backward(Alg.LRN_ACROSS_CHANNELS, desc, desc, desc, 1, 1.0, 0.75, 1.0, forward)


@pytest.mark.slow
def test_layouts_and_reorders_of_many_shapes_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "MOST_REORDERS", 20)
    monkeypatch.setattr(layouts._local, "reorders", layouts.Reorders(), raising=False)
    with net_of_text(INPUT.format(4), TEST, engine="onednn") as net:
        for size in range(3, 83):
            net.forward(x=np.ones((1, 8, size, size), np.float32))
            assert net.blobs["conv"].data.shape == (1, 16, size, size)
        gc.collect()
        assert len(layouts.reorders()._primitives) == 20
        assert len(layouts.reorders()._scratchpad._memories) <= 20
        assert len([place for place in layouts._places.values() if place.dims[0] == 1]) < 40
