"""Nets and solvers of Intel's fork."""

from __future__ import annotations

import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import Net, schema

TestDialectIntel = plugin_suite("dialect", "intel")

NET = """engine: "MKLDNN"
bn_stats_batch_size: 32
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 6 dim: 6 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" engine: "MKL2017"
  convolution_param { num_output: 2 kernel_size: 3 engine: MKL2017 weight_filler { type: "msra" scale: 2 } }
  quantization_param { bw_layer_in: 8 bw_layer_out: 8 bw_params: 8 scale_in: 1.5 scale_out: 2 scale_params: 3 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" relu_param { engine: MKLDNN } }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 engine: MKL2017 } }
"""
LINES = {
    "NetParameter.engine": 1,
    "NetParameter.bn_stats_batch_size": 2,
    "LayerParameter.engine": 4,
    "ConvolutionParameter.Engine.MKL2017": 5,
    "FillerParameter.scale": 5,
    "LayerParameter.quantization_param": 6,
    "ReLUParameter.Engine.MKLDNN": 7,
    "PoolingParameter.Engine.MKL2017": 8,
}


def test_a_net_runs_and_every_line_that_has_no_effect_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with Net(schema().parse_text(NET, "NetParameter", "net.prototxt")) as net:
        assert net.blobs["p"].shape == (1, 2, 3, 3)
    found = [record.getMessage().split(" is ")[0] for record in caplog.records]
    assert sorted(found) == sorted(f"net.prototxt:{line}: {name}" for name, line in LINES.items())


def test_the_dropped_fields_leave_a_net_of_caffe() -> None:
    text = schema().to_text(schema().parse_text(NET, "NetParameter", "net.prototxt"))
    assert "MKL" not in text
    assert "quantization" not in text
    assert schema().parse_text(text, "NetParameter").layer[1].convolution_param.num_output == 2


def test_random_sizes_are_accepted() -> None:
    text = """random_resize_param { min_size: 256 max_size: 480 resize_param { interp_mode: CUBIC } }
      random_aspect_ratio_param { min_area_ratio: 0.08 aspect_ratio_change: 1.33 max_attempt: 20 } crop_size: 224"""
    assert schema().parse_text(text, "TransformationParameter").crop_size == 224
