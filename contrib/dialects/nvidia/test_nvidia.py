"""Nets, solvers and weights of NVIDIA's fork."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import Net, Phase, registry, schema
from cafx.kernel.blob import Blob
from cafx.kernel.net import BlobValues, LayerWeights
from cafx.kernel.net.formats import format_named

TestDialectNvidia = plugin_suite("dialect", "nvidia")
TestUpgradeNvidia = plugin_suite("upgrade", "nvidia")

SCALED = """
default_forward_type: FLOAT16 default_backward_math: FLOAT global_grad_scale: 1000
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 dim: 2 dim: 2 } } forward_type: FLOAT }
layer {
  name: "bn" type: "BatchNorm" bottom: "x" top: "bn" param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 }
  param { lr_mult: 2 } param { lr_mult: 3 }
  batch_norm_param { scale_bias: true moving_average_fraction: 0.5 scale_filler { value: 2 } bias_filler { value: -1 } }
  include { phase: TEST }
}
"""


def test_a_scaled_batch_norm_becomes_two_layers() -> None:
    with Net(schema().parse_text(SCALED, "NetParameter", "n"), Phase.TEST) as net:
        assert [layer.type for layer in net.layers] == ["Input", "BatchNorm", "Scale"]
        assert net.layer_names == ["x", "bn", "bn_scale"]
        assert [blob.host().tolist() for blob in net.params["bn_scale"]] == [[2.0] * 3, [-1.0] * 3]
        assert [each.lr_mult for each in net.layers[2].spec.param] == [2, 3]
        assert not net.layers[1].spec.batch_norm_param.scale_bias


def test_the_five_parameters_of_a_weights_file_are_found(tmp_path: Path) -> None:
    values = [np.arange(3.0), np.arange(1.0, 4.0), np.ones(1), np.array([5.0, 6, 7]), np.array([8.0, 9, 10])]
    blobs = [BlobValues(each.shape, each.astype(np.float32)) for each in values]
    path = tmp_path / "w.caffemodel"
    proto = schema()["NetParameter"]()
    proto.layer.add(name="bn", type="BatchNorm")
    format_named("BINARYPROTO", registry()).write_weights(path, proto, [LayerWeights("bn", blobs, "BatchNorm")])
    with Net(schema().parse_text(SCALED, "NetParameter", "n"), Phase.TEST) as net:
        net.copy_from(path)
        loaded: list[Blob] = [*net.params["bn"], *net.params["bn_scale"]]
        for blob, expected in zip(loaded, values, strict=True):
            np.testing.assert_array_equal(blob.host().reshape(-1), expected)
        x = np.random.default_rng(0).normal(size=(4, 3, 2, 2)).astype(np.float32)
        y = net.forward(x=x)["bn"]
    mean, variance, _, scale, bias = (each.reshape(1, -1, *[1] * 2) for each in values)
    np.testing.assert_allclose(y, scale * (x - mean) / np.sqrt(variance + 1e-5) + bias, rtol=1e-4, atol=1e-4)


def test_what_has_no_effect_here_is_dropped_with_a_notice(caplog: pytest.LogCaptureFixture) -> None:
    parsed = schema().parse_text(SCALED, "NetParameter", "net.prototxt")
    text = schema().to_text(parsed)
    assert "type: FLOAT" not in text
    messages = [record.getMessage() for record in caplog.records]
    assert any(each.startswith("net.prototxt:2: NetParameter.default_forward_type is ignored") for each in messages)


def test_batch_norm_without_scale_stays_as_it_is() -> None:
    text = SCALED.replace("scale_bias: true", "scale_bias: false").replace(
        "param { lr_mult: 2 } param { lr_mult: 3 }", ""
    )
    with Net(schema().parse_text(text, "NetParameter", "n"), Phase.TEST) as net:
        assert [layer.type for layer in net.layers] == ["Input", "BatchNorm"]
