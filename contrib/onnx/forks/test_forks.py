"""Converters of forks' layers beyond what the conformance item `onnx` compares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx.conformance import Subject, plugin_suite
from cafx.conformance.checks_onnx import in_test_phase
from cafx.conformance.harness import Trial
from cafx.kernel import TEST, CafxError, Net, registry, schema
from cafx_lib_onnx import NoOnnxForm, Session, export_net, import_model

TestReorg = plugin_suite("onnx", "Reorg")


def case_of(type_name: str, name: str) -> Trial:
    """One of a layer's cases, in TEST phase."""
    case = next(each for each in Subject.of(type_name).cases if each.name == name)
    return Trial(type_name, in_test_phase(case))


def test_raw_detections_are_decoded_boxes_and_scores() -> None:
    trial = case_of("DetectionOutput", "all")
    rows = trial.forward()[0].reshape(-1, 7)
    trial.rewind()
    model = export_net(trial.net, settings={"detection": "raw"}).model
    assert [each.name for each in model.graph.output] == ["subject_boxes", "subject_scores"]
    fed = {blob.name: np.asarray(each, np.float32) for blob, each in zip(trial.bottom, trial.fed, strict=True)}
    found = Session(model).run(fed)
    boxes, scores = found["subject_boxes"], found["subject_scores"]
    assert len(rows) > 1
    for image, label, score, *corners in rows:
        prior = np.abs(scores[int(image), int(label)] - score).argmin()
        np.testing.assert_allclose(boxes[int(image), 0, prior], corners, atol=1e-6)


def test_the_best_of_equal_scores_are_as_many_as_asked_for() -> None:
    trial = case_of("DetectionOutput", "all")
    trial.layer.options.keep_top_k = 3
    trial.fed[1][...] = 0.5
    expected = trial.forward()[0]
    trial.rewind()
    fed = {blob.name: np.asarray(each, np.float32) for blob, each in zip(trial.bottom, trial.fed, strict=True)}
    found = Session(export_net(trial.net).model).run(fed)["top0"]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found[..., :3], expected[..., :3])


def test_what_onnx_cannot_do_says_so() -> None:
    with pytest.raises(NoOnnxForm, match="eta below 1"):
        export_net(case_of("DetectionOutput", "limits").net)


@pytest.mark.parametrize(
    "type_name", ["Permute", "Transpose", "ShuffleChannel", "Reorg", "ROIPooling", "MergeCrop", "Axpy"]
)
def test_layers_come_back(type_name: str) -> None:
    for case in Subject.of(type_name).cases:
        trial = Trial(type_name, in_test_phase(case))
        expected = trial.forward()
        trial.rewind()
        exported = export_net(trial.net, symbolic=False)
        imported = import_model(exported.model)
        built = imported.build(engine="numpy")
        fed: dict[str, Any] = {blob.name: each for blob, each in zip(trial.bottom, trial.fed, strict=True)}
        built.forward(**{name: each for name, each in fed.items() if name in built.inputs})
        for blob, values in zip(trial.top, expected, strict=True):
            result = built.blobs[imported.blobs[exported.values[blob.name]]].host()
            np.testing.assert_allclose(result, values, rtol=1e-4, atol=1e-5, err_msg=str(case))


def test_a_custom_operator_comes_back() -> None:
    trial = case_of("PSROIPooling", next(iter(Subject.of("PSROIPooling").cases)).name)
    expected = trial.forward()[0]
    trial.rewind()
    exported = export_net(trial.net, allow_custom=True)
    imported = import_model(exported.model, batch=trial.bottom[0].shape[0])
    built = imported.build(engine="numpy")
    result = built.forward(**{blob.name: each for blob, each in zip(trial.bottom, trial.fed, strict=True)})
    np.testing.assert_allclose(result["top0"], expected)


def test_a_custom_operator_of_another_layer_is_refused() -> None:
    exported = export_net(
        case_of("PSROIPooling", next(iter(Subject.of("PSROIPooling").cases)).name).net, allow_custom=True
    )
    for node in exported.model.graph.node:
        if node.domain == "cafx":
            node.op_type = "ReLU"
    with pytest.raises(CafxError, match="another layer"):
        import_model(exported.model)


def test_a_ssd_head_exports_with_its_priors_folded() -> None:
    text = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 30 dim: 30 } } }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 8 kernel_size: 3 stride: 10 } }
    layer { name: "loc" type: "Convolution" bottom: "conv" top: "loc" convolution_param { num_output: 8 kernel_size: 1
        weight_filler { type: "xavier" } } }
    layer { name: "conf" type: "Convolution" bottom: "conv" top: "conf" convolution_param { num_output: 6 kernel_size: 1
        weight_filler { type: "xavier" } } }
    layer { name: "locp" type: "Permute" bottom: "loc" top: "locp"
        permute_param { order: 0 order: 2 order: 3 order: 1 } }
    layer { name: "locf" type: "Flatten" bottom: "locp" top: "locf" }
    layer { name: "confp" type: "Permute" bottom: "conf" top: "confp"
        permute_param { order: 0 order: 2 order: 3 order: 1 } }
    layer { name: "conff" type: "Flatten" bottom: "confp" top: "conff" }
    layer { name: "prior" type: "PriorBox" bottom: "conv" bottom: "data" top: "prior"
        prior_box_param { min_size: 8 max_size: 15 } }
    layer { name: "out" type: "DetectionOutput" bottom: "locf" bottom: "conff" bottom: "prior" top: "out"
        detection_output_param { num_classes: 3 nms_param { nms_threshold: 0.5 top_k: 2 } keep_top_k: 50
            code_type: CENTER_SIZE confidence_threshold: -100 } }"""
    net = Net(schema().parse_text(text, "NetParameter"), TEST, engine="numpy", seed=3)
    net.params["conv"][0].set_data(np.random.default_rng(0).standard_normal(net.params["conv"][0].shape) * 0.1)
    exported = export_net(net)
    x = np.random.default_rng(1).standard_normal((1, 3, 30, 30)).astype(np.float32)
    expected, found = net.forward(data=x)["out"], Session(exported.model).run({"data": x})["out"]
    assert expected.shape[2] > 1
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert "prior" not in {node.name for node in exported.model.graph.node if node.op_type != "Identity"}


def test_every_fork_s_converter_is_of_a_layer_that_exists() -> None:
    types = set(registry().names("layer"))
    assert {each.name for each in registry().plugins("onnx") if each.distribution == "cafx-onnx-forks"} <= types
