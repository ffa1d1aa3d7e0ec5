"""Python layers of py-faster-rcnn run without its modules."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import Net, Phase, schema
from cafx_data_roidata import samples
from cafx_upgrade_rcnn import RCNN, importable, parsed

TestRCNN = plugin_suite("upgrade", "rcnn")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    for name in [each for each in sys.modules if each.partition(".")[0] in ("rpn", "pylayer")]:
        del sys.modules[name]


def python(module: str, layer: str, text: str, tops: str, bottoms: str = "") -> str:
    names = "".join(f'top: "{each}" ' for each in tops.split()) + "".join(
        f'bottom: "{each}" ' for each in bottoms.split()
    )
    return f"""layer {{ name: "{layer}" type: "Python" {names}
        python_param {{ module: '{module}' layer: '{layer}' param_str: "{text}" }} }}"""


def upgraded(text: str) -> Any:
    return RCNN().upgrade_net(schema().parse_text(text, "NetParameter"), "net")


PROPOSAL = python("rpn.proposal_layer", "ProposalLayer", "'feat_stride': 16", "rois", "scores offsets im_info")


def test_a_proposal_layer_keeps_its_options_and_gets_the_numbers_of_training() -> None:
    text = python("rpn.proposal_layer", "ProposalLayer", "{'feat_stride': 8, 'scales': [4, 8.5]}", "rois", "s o i")
    (layer,) = upgraded(text).layer
    options = layer.proposal_param
    assert (layer.type, layer.HasField("python_param")) == ("Proposal", False)
    assert (options.feat_stride, list(options.scale)) == (8, [4, 8.5])
    assert (options.train_pre_nms_topn, options.train_post_nms_topn) == (12000, 2000)
    assert not options.HasField("pre_nms_topn")


@pytest.mark.parametrize("folder", ["rpn", "lib/rpn"])
def test_a_module_that_is_there_is_left_alone(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / folder / "proposal_layer.py").touch()
    monkeypatch.syspath_prepend(str((tmp_path / folder).parent))
    assert upgraded(PROPOSAL).layer[0].type == "Python"
    (tmp_path / folder / "proposal_layer.py").unlink()
    assert upgraded(PROPOSAL).layer[0].type == "Proposal"


@pytest.mark.parametrize(
    "text",
    [
        python("pylayer.proposal_layer", "ProposalLayer", "'feat_stride': 16", "rois index", "s o i"),
        python("pylayer.proposal_layer", "ProposalLayer", "{feat_stride: 16, use_clip: 1, clip_base: 64}", "rois", "s"),
        python("rpn.proposal_layer", "ProposalLayer", "feat_stride: sixteen", "rois", "s o i"),
        python("rpn.proposal_layer", "OtherLayer", "'feat_stride': 16", "rois", "s o i"),
        python("my_layers", "ProposalLayer", "'feat_stride': 16", "rois", "s o i"),
    ],
)
def test_a_different_layer_is_left_alone(text: str) -> None:
    assert upgraded(text).layer[0].type == "Python"


def test_the_layer_of_mnc_for_inference_is_the_same() -> None:
    text = python("pylayer.proposal_layer", "ProposalLayer", "'feat_stride': 16", "rois", "s o i")
    assert upgraded(text).layer[0].type == "Proposal"


def test_r_fcn_s_targets_have_four_axes_and_all_regions() -> None:
    text = python("rpn.proposal_target_layer", "ProposalTargetLayer", "'num_classes': 2", "a b c d e", "rois gt")
    plain = upgraded(text).layer[0].proposal_target_param
    other = 'layer { name: "p" type: "PSROIPooling" } layer { name: "o" type: "BoxAnnotatorOHEM" }'
    rfcn = upgraded(text + other).layer[0].proposal_target_param
    assert (plain.num_classes, plain.four_axes, plain.batch_size) == (2, False, 128)
    assert (rfcn.num_classes, rfcn.four_axes, rfcn.batch_size) == (2, True, -1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'feat_stride': 16", {"feat_stride": 16}),
        ("{feat_stride: 16, use_clip: 1}", {"feat_stride": 16, "use_clip": 1}),
        ("'feat_stride': 16\n'scales': !!python/tuple [4, 8]\n", {"feat_stride": 16, "scales": [4, 8]}),
        ("", {}),
        ("'a': __import__('os')", None),
        ("just words", None),
    ],
)
def test_param_str_is_read_without_running_it(text: str, expected: dict[str, Any] | None) -> None:
    assert parsed(text) == expected


def test_a_module_is_looked_for_without_importing_it(tmp_path: Path) -> None:
    (tmp_path / "rpn.py").write_text("raise RuntimeError('imported')")
    assert importable("rpn")
    assert not importable("rpn.proposal_layer")


def test_a_whole_net_trains_on_a_roidb_set_from_python() -> None:
    samples.window_file()
    roidb = [
        {
            "image": str(samples.folder() / f"region{index}.png"),
            "boxes": samples.objects(index)[:, :4].astype(np.uint16),
            "gt_classes": samples.objects(index)[:, 4].astype(np.int32),
            "flipped": False,
        }
        for index in range(2)
    ]
    text = "\n".join(
        [
            python("roi_data_layer.layer", "RoIDataLayer", "'num_classes': 3", "data im_info gt_boxes"),
            'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param'
            ' { num_output: 8 kernel_size: 3 pad: 1 stride: 16 weight_filler { type: "gaussian" std: 0.01 } } }',
            'layer { name: "cls" type: "Convolution" bottom: "conv" top: "cls" convolution_param'
            ' { num_output: 18 kernel_size: 1 weight_filler { type: "gaussian" std: 0.01 } } }',
            'layer { name: "box" type: "Convolution" bottom: "conv" top: "box" convolution_param'
            ' { num_output: 36 kernel_size: 1 weight_filler { type: "gaussian" std: 0.001 } } }',
            python(
                "rpn.anchor_target_layer",
                "AnchorTargetLayer",
                "'feat_stride': 16",
                "la t wi wo",
                "cls gt_boxes im_info",
            ),
            'layer { name: "r" type: "Reshape" bottom: "cls" top: "two" reshape_param'
            " { shape { dim: 0 dim: 2 dim: -1 dim: 0 } } }",
            'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "two" bottom: "la" top: "loss"'
            " propagate_down: true propagate_down: false loss_param { ignore_label: -1 normalize: true } }",
            'layer { name: "loss_box" type: "SmoothL1Loss" bottom: "box" bottom: "t" bottom: "wi" bottom: "wo"'
            ' top: "loss_box" loss_weight: 1 smooth_l1_loss_param { sigma: 3 } }',
            'layer { name: "prob" type: "Softmax" bottom: "two" top: "prob" }',
            'layer { name: "r2" type: "Reshape" bottom: "prob" top: "scores" reshape_param'
            " { shape { dim: 0 dim: 18 dim: -1 dim: 0 } } }",
            python("rpn.proposal_layer", "ProposalLayer", "'feat_stride': 16", "rois", "scores box im_info"),
            python(
                "rpn.proposal_target_layer",
                "ProposalTargetLayer",
                "'num_classes': 3",
                "regions lb bt bi bo",
                "rois gt_boxes",
            ),
            'layer { name: "pool" type: "ROIPooling" bottom: "conv" bottom: "regions" top: "pool" roi_pooling_param'
            " { pooled_h: 2 pooled_w: 2 spatial_scale: 0.0625 } }",
            'layer { name: "score" type: "InnerProduct" bottom: "pool" top: "score" inner_product_param'
            ' { num_output: 3 weight_filler { type: "gaussian" std: 0.01 } } }',
            'layer { name: "loss_cls" type: "SoftmaxWithLoss" bottom: "score" bottom: "lb" top: "loss_cls"'
            " propagate_down: true propagate_down: false }",
        ]
    )
    with Net(schema().parse_text(text, "NetParameter"), Phase.TRAIN, engine="numpy") as net:
        net.layers[0].set_roidb(roidb)
        for _ in range(3):
            net.forward()
            net.clear_param_diffs()
            net.backward()
            assert np.isfinite(net.loss)
            assert net.loss > 0
        assert all(np.abs(net.params[name][0].host_diff()).sum() > 0 for name in ("conv", "cls", "score"))
