"""Faster R-CNN on VGG-16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx_models.parts import connected, convolved, dropped, gaussian
from cafx_models.vgg import VGG16, blocks

IMAGE = (600, 800)
STRIDE = 16
"""Pixels per cell of the last features."""
ANCHORS = 9
FIXED_BLOCKS = 2
REGION = 7
"""Cells per side of a pooled region."""
HIDDEN = 4096


def faster_rcnn_vgg16(
    net: NetSpec | None = None,
    *,
    batch: int = 1,
    classes: int = 21,
    train: bool = False,
    image: tuple[int, int] = IMAGE,
    objects: int = 1,
) -> NetSpec:
    """Faster R-CNN: VGG-16, a region proposal network, and a classifier of pooled regions.

    Args:
        net: a NetSpec with the tops ``data``, ``im_info`` and, for training, ``gt_boxes``, as RoIData gives
            them; None for a new one with Input layers.
        batch: images per batch; only 1 is defined.
        classes: number of classes, the background included.
        train: end in the four losses of approximate joint training; otherwise in cls_prob and bbox_pred.
        image: height and width of an image.
        objects: rows of ``gt_boxes``, of a new net.

    Source: Ren et al., "Faster R-CNN", 2015; py-faster-rcnn's models/pascal_voc/VGG16/faster_rcnn_end2end.
    """
    if net is None:
        net = NetSpec("VGG_ILSVRC_16_layers")
        net.data = L.Input(shape={"dim": [batch, 3, *image]})
        net.im_info = L.Input(shape={"dim": [1, 3]})
        if train:
            net.gt_boxes = L.Input(shape={"dim": [objects, 5]})
    blocks(net, VGG16, fixed=FIXED_BLOCKS)
    del net.pool5
    features = net.relu5_3
    small = gaussian(0.01)
    x = convolved(net, "rpn_conv/3x3", features, 512, 3, relu="rpn_relu/3x3", weights=small, pad=1)
    scores = convolved(net, "rpn_cls_score", x, 2 * ANCHORS, 1, weights=small)
    boxes = convolved(net, "rpn_bbox_pred", x, 4 * ANCHORS, 1, weights=small)
    net.rpn_cls_score_reshape = L.Reshape(scores, shape={"dim": [0, 2, -1, 0]})
    if train:
        _anchors_learn(net, scores, boxes)
    net.rpn_cls_prob = L.Softmax(net.rpn_cls_score_reshape)
    net.rpn_cls_prob_reshape = L.Reshape(net.rpn_cls_prob, shape={"dim": [0, 2 * ANCHORS, -1, 0]})
    proposal = _python("rpn.proposal_layer.ProposalLayer", f"'feat_stride': {STRIDE}")
    names = ["labels", "bbox_targets", "bbox_inside_weights", "bbox_outside_weights"]
    if train:
        net.rpn_rois = L.Python(net.rpn_cls_prob_reshape, boxes, net.im_info, name="proposal", **proposal)
        chosen = _python("rpn.proposal_target_layer.ProposalTargetLayer", f"'num_classes': {classes}")
        tops = L.Python(net.rpn_rois, net.gt_boxes, ntop=5, name="roi-data", **chosen)
        _assign(net, ["rois", *names], tops)
    else:
        net.rois = L.Python(net.rpn_cls_prob_reshape, boxes, net.im_info, name="proposal", **proposal)
    net.pool5 = L.ROIPooling(
        features, net.rois, pooled_h=REGION, pooled_w=REGION, spatial_scale=1 / STRIDE, name="roi_pool5"
    )
    x = net.pool5
    for number in (6, 7):
        x = connected(net, f"fc{number}", x, HIDDEN, relu=f"relu{number}", weights=gaussian(0.005), bias=0.1)
        x = dropped(net, f"drop{number}", x)
    scores = connected(net, "cls_score", x, classes, weights=small)
    boxes = connected(net, "bbox_pred", x, 4 * classes, weights=gaussian(0.001))
    if not train:
        net.cls_prob = L.Softmax(scores)
        return net
    net.loss_cls = L.SoftmaxWithLoss(scores, net.labels, propagate_down=[True, False], loss_weight=1)
    net.loss_bbox = L.SmoothL1Loss(boxes, *(net[name] for name in names[1:]), loss_weight=1)
    return net


def _anchors_learn(net: NetSpec, scores: Any, boxes: Any) -> None:
    """The losses of the region proposal network."""
    names = ["rpn_labels", "rpn_bbox_targets", "rpn_bbox_inside_weights", "rpn_bbox_outside_weights"]
    target = _python("rpn.anchor_target_layer.AnchorTargetLayer", f"'feat_stride': {STRIDE}")
    _assign(net, names, L.Python(scores, net.gt_boxes, net.im_info, net.data, ntop=4, name="rpn-data", **target))
    net.rpn_cls_loss = L.SoftmaxWithLoss(
        net.rpn_cls_score_reshape,
        net.rpn_labels,
        loss_param={"ignore_label": -1, "normalize": True},
        propagate_down=[True, False],
        loss_weight=1,
        name="rpn_loss_cls",
    )
    net.rpn_loss_bbox = L.SmoothL1Loss(boxes, *(net[name] for name in names[1:]), sigma=3.0, loss_weight=1)


def _python(path: str, options: str) -> dict[str, str]:
    module, layer = path.rsplit(".", 1)
    return {"module": module, "layer": layer, "param_str": options}


def _assign(net: NetSpec, names: Sequence[str], tops: Any) -> None:
    for name, top in zip(names, tops, strict=True):
        net[name] = top
