"""Exported graphs: their nodes, names, shapes and outputs, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from cafx.kernel import TEST, CafxError, Net, Phase, Registry, schema
from cafx_lib_onnx import Exported, NoOnnxForm, Session, export_net, with_outputs

TOLERANCE = 1e-5

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 2 dim: 7 dim: 6 } } }'
CONV = """layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
    convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }"""


def net(text: str, phase: Phase = TEST, **settings: Any) -> Net:
    """A net on the numpy engine."""
    return Net(schema().parse_text(text, "NetParameter"), phase, engine="numpy", **settings)


def operators(exported: Exported) -> list[str]:
    """The operators of the nodes, in order."""
    return [node.op_type for node in exported.model.graph.node]


def inputs(exported: Exported) -> dict[str, list[int | str]]:
    """The shape of each input."""
    found = {}
    for value in exported.model.graph.input:
        dims = value.type.tensor_type.shape.dim
        found[value.name] = [dim.dim_param or dim.dim_value for dim in dims]
    return found


def outputs(exported: Exported) -> list[str]:
    """The names of the outputs."""
    return [each.name for each in exported.model.graph.output]


def assert_same(built: Net, exported: Exported, **fed: Any) -> None:
    """Assert that onnxruntime computes what the net does."""
    onnx.checker.check_model(exported.model, full_check=True)
    expected, results = built.forward(**fed), Session(exported.model).run(fed)
    for name in outputs(exported):
        if name in expected:
            np.testing.assert_allclose(results[name], expected[name], atol=TOLERANCE, rtol=TOLERANCE)


def test_the_last_of_several_values_of_a_blob_has_its_name() -> None:
    exported = export_net(net(f"{INPUT}\n{CONV}"))
    assert [(node.op_type, list(node.input)[:1], list(node.output)) for node in exported.model.graph.node] == [
        ("Conv", ["data"], ["conv/conv"]),
        ("Relu", ["conv/conv"], ["conv"]),
    ]
    assert [node.name for node in exported.model.graph.node] == ["conv", "relu"]


def test_the_model_states_the_opset_and_ir_version_that_npu_toolchains_read() -> None:
    model = export_net(net(f"{INPUT}\n{CONV}")).model
    assert (model.ir_version, [(each.domain, each.version) for each in model.opset_import]) == (9, [("", 18)])


def test_any_batch_size_runs() -> None:
    built = net(f"{INPUT}\n{CONV}")
    exported = export_net(built)
    assert inputs(exported) == {"data": ["N", 2, 7, 6]}
    rng = np.random.default_rng(1)
    for batch in (1, 5):
        assert_same(built, exported, data=rng.standard_normal((batch, 2, 7, 6)).astype(np.float32))
    assert built.blobs["data"].shape[0] == 5, "the net's own shape is that of its last pass"


def test_a_fixed_batch_is_what_the_net_has() -> None:
    assert inputs(export_net(net(f"{INPUT}\n{CONV}"), symbolic=False)) == {"data": [3, 2, 7, 6]}


def test_a_layer_that_fixes_the_batch_is_named() -> None:
    fixed = 'layer { name: "r" type: "Reshape" bottom: "data" top: "r" reshape_param { shape { dim: 3 dim: 84 } } }'
    exported = export_net(net(f"{INPUT}\n{fixed}"))
    assert inputs(exported)["data"][0] == 3
    assert any("batch size is fixed" in note and "'r' (Reshape)" in note for note in exported.notes)


def test_dropout_and_split_leave_no_node() -> None:
    text = f"""{INPUT}
    layer {{ name: "drop" type: "Dropout" bottom: "data" top: "drop" }}
    layer {{ name: "a" type: "ReLU" bottom: "drop" top: "a" }}
    layer {{ name: "b" type: "TanH" bottom: "drop" top: "b" }}"""
    built = net(text)
    exported = export_net(built)
    assert operators(exported) == ["Relu", "Tanh"]
    assert_same(built, exported, data=np.ones((3, 2, 7, 6), np.float32))


def test_an_output_that_is_an_input_is_passed_on() -> None:
    built = net(f'{INPUT}\nlayer {{ name: "drop" type: "Dropout" bottom: "data" top: "drop" }}')
    exported = export_net(built)
    assert (operators(exported), outputs(exported)) == (["Identity"], ["drop"])
    assert_same(built, exported, data=np.ones((3, 2, 7, 6), np.float32))


LABEL = 'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 3 } } }'
SCORES = f"""{INPUT}\n{LABEL}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
    inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}"""


def test_a_softmax_loss_leaves_its_probabilities_and_no_label() -> None:
    text = f"""{SCORES}
    layer {{ name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" }}
    layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}"""
    built = net(text)
    exported = export_net(built)
    assert (list(inputs(exported)), outputs(exported), operators(exported)) == (
        ["data"],
        ["prob"],
        ["Flatten", "Gemm", "Softmax"],
    )
    assert "input 'label' is left out: no output needs it" in exported.notes
    data = np.random.default_rng(0).standard_normal((3, 2, 7, 6)).astype(np.float32)
    built.forward(data=data, label=np.zeros(3))
    scores = built.blobs["ip"].host()
    softmax = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(Session(exported.model).run({"data": data})["prob"], softmax, rtol=1e-5)


@pytest.mark.parametrize(
    ("last", "output"),
    [
        ('type: "Accuracy" bottom: "ip" bottom: "label" top: "x"', "ip"),
        ('type: "SigmoidCrossEntropyLoss" bottom: "ip" bottom: "ip2" top: "x"', "prob"),
        ('type: "EuclideanLoss" bottom: "ip" bottom: "ip2" top: "x"', "ip"),
    ],
)
def test_other_losses_leave_what_they_are_computed_from(last: str, output: str) -> None:
    second = SCORES.replace('"ip"', '"ip2"').split("\n", 2)[2]
    exported = export_net(net(f'{SCORES}\n{second if "ip2" in last else ""}\nlayer {{ name: "last" {last} }}'))
    assert outputs(exported) == [output]


def test_batch_norm_and_scale_become_one_node() -> None:
    text = f"""{INPUT}
    layer {{ name: "bn" type: "BatchNorm" bottom: "data" top: "bn" }}
    layer {{ name: "scale" type: "Scale" bottom: "bn" top: "bn" scale_param {{ bias_term: true }} }}"""
    built = net(text)
    for index, value in ((0, [1, -1]), (1, [2, 3]), (2, [1])):
        built.params["bn"][index].set_data(value)
    built.params["scale"][0].set_data([0.5, 2])
    built.params["scale"][1].set_data([1, -2])
    exported = export_net(built)
    assert operators(exported) == ["BatchNormalization"]
    assert_same(built, exported, data=np.random.default_rng(0).standard_normal((3, 2, 7, 6)).astype(np.float32))


def test_a_scale_of_a_batch_norm_that_others_read_stays_apart() -> None:
    text = f"""{INPUT}
    layer {{ name: "bn" type: "BatchNorm" bottom: "data" top: "bn" }}
    layer {{ name: "scale" type: "Scale" bottom: "bn" top: "scaled" scale_param {{ filler {{ value: 3 }} }} }}
    layer {{ name: "tanh" type: "TanH" bottom: "bn" top: "tanh" }}"""
    built = net(text)
    for index, value in ((0, [1, -1]), (1, [2, 3]), (2, [1])):
        built.params["bn"][index].set_data(value)
    exported = export_net(built)
    assert operators(exported) == ["BatchNormalization", "Mul", "Tanh"]
    assert_same(built, exported, data=np.random.default_rng(0).standard_normal((3, 2, 7, 6)).astype(np.float32))


def test_shared_parameters_are_stored_once() -> None:
    product = 'inner_product_param { num_output: 84 weight_filler { type: "xavier" } }'
    shared = f'param {{ name: "w" }} param {{ name: "b" }} {product}'
    text = f"""{INPUT}
    layer {{ name: "flat" type: "Flatten" bottom: "data" top: "flat" }}
    layer {{ name: "one" type: "InnerProduct" bottom: "flat" top: "one" {shared} }}
    layer {{ name: "two" type: "InnerProduct" bottom: "one" top: "two" {shared} }}"""
    assert len(export_net(net(text)).model.graph.initializer) == 2


CUSTOM = f"""{INPUT}
layer {{ name: "region" type: "Input" top: "rois" input_param {{ shape {{ dim: 1 dim: 5 }} }} }}
layer {{ name: "ps" type: "PSROIPooling" bottom: "data" bottom: "rois" top: "ps"
    psroi_pooling_param {{ spatial_scale: 1 output_dim: 2 group_size: 1 }} }}"""


def test_a_layer_without_onnx_form_is_an_error_that_names_it_or_a_custom_operator() -> None:
    built = net(CUSTOM)
    with pytest.raises(NoOnnxForm, match=r"layer 'ps' \(PSROIPooling\): has no ONNX form.*--allow-custom"):
        export_net(built)
    exported = export_net(built, allow_custom=True)
    (node,) = exported.model.graph.node
    assert (node.domain, node.op_type) == ("cafx", "PSROIPooling")
    assert {each.domain for each in exported.model.opset_import} == {"", "cafx"}
    assert any("domain 'cafx'" in note for note in exported.notes)


def test_only_test_phase_is_exported() -> None:
    with pytest.raises(CafxError, match="TRAIN"):
        export_net(net(f"{INPUT}\n{CONV}", Phase.TRAIN))


def test_a_third_party_s_converter_is_a_plain_class() -> None:
    class Converter:
        @staticmethod
        def export(layer: Any, context: Any) -> None:
            context.add("Selu", context.bottoms, context.tops)

    plugins = Registry()
    plugins.add("onnx", "AbsVal", Converter)
    text = f'{INPUT}\nlayer {{ name: "a" type: "AbsVal" bottom: "data" top: "a" }}'
    assert operators(export_net(net(text, plugins=plugins))) == ["Selu"]


def test_inner_values_can_be_compared() -> None:
    exported = export_net(net(f'{INPUT}\n{CONV}\nlayer {{ name: "t" type: "TanH" bottom: "conv" top: "t" }}'))
    assert Session(with_outputs(exported.model, {"conv", "nothing"})).outputs == ["t", "conv"]
