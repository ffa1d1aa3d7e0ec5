"""Nets and solvers of MyCaffe."""

from __future__ import annotations

import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, Net, Phase, schema

TestDialectMycaffe = plugin_suite("dialect", "mycaffe")
TestUpgradeMycaffe = plugin_suite("upgrade", "mycaffe")

NET = """
layer { name: "x" type: "Input" top: "x" top: "c"
  input_param { shape { dim: 3 dim: 2 dim: 4 } shape { dim: 3 dim: 2 } } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "c" top: "y" recurrent_param { num_output: 3 %s } }
layer { name: "prob" type: "Softmax" bottom: "y" top: "z" include { phase: RUN } }
"""


def test_a_layer_for_the_phase_run_is_left_out() -> None:
    text = NET % "engine: CUDNN num_layers: 1 dropout_ratio: 0 dropout_seed: 7 batch_first: false"
    for phase in Phase:
        with Net(schema().parse_text(text, "NetParameter"), phase) as net:
            assert [layer.type for layer in net.layers] == ["Input", "LSTM"]


def test_a_net_whose_state_is_run_is_refused_with_the_remedy() -> None:
    with pytest.raises(CafxError, match=r"RUN.*TRAIN or TEST"):
        Net(schema().parse_text("state { phase: RUN }" + NET % "", "NetParameter", "net.prototxt"))


@pytest.mark.parametrize("option", ["num_layers: 2", "dropout_ratio: 0.5", "batch_first: true", "bidirectional: true"])
def test_what_caffe_s_layer_cannot_do_is_refused(option: str) -> None:
    with pytest.raises(CafxError, match=f"net.prototxt: RecurrentParameter.{option.split(':')[0]} of MyCaffe has no"):
        schema().parse_text(NET % option, "NetParameter", "net.prototxt")


def test_an_image_database_is_unknown_by_its_name() -> None:
    text = 'layer { name: "d" type: "Data" top: "x" data_param { source: "MNIST" batch_size: 1 backend: IMAGEDB } }'
    with pytest.raises(CafxError, match="IMAGEDB"):
        Net(schema().parse_text(text, "NetParameter"))


def test_solver_fields_are_dropped() -> None:
    text = "snapshot_include_weights: true snapshot_include_state: true accuracy_average_window: 5 max_iter: 3"
    assert schema().to_text(schema().parse_text(text, "SolverParameter")) == "max_iter: 3\n"
