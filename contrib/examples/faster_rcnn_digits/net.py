"""A small Faster R-CNN that finds handwritten digits: ``cafx train net.py``."""

import os
import sys
from pathlib import Path

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "ssd_digits"))
import data  # noqa: E402  # the pictures are those of the other example

CLASSES = 11  # ten digits and the background
MEAN, SCALE = 64, 1 / 64
STRIDE = 8  # pixels per cell of the features
ANCHORS = {"feat_stride": STRIDE, "base_size": 16, "ratio": [1.0, 1.6, 3.0], "scale": [1.2, 1.8, 2.7]}
COUNT = len(ANCHORS["ratio"]) * len(ANCHORS["scale"])
BINS = 5  # per side of a region
DEVIATION = 0.1  # of the offsets of regions, by which they are divided
TEST_PICTURES = 500
MSRA, SMALL = {"type": "msra"}, {"type": "gaussian", "std": 0.01}


def convolved(bottom, outputs, size=3, stride=1):
    """A convolution and ReLU; the size of the map is divided by the stride."""
    x = L.Convolution(bottom, num_output=outputs, kernel_size=size, pad=size // 2, stride=stride, weight_filler=MSRA)
    return L.ReLU(x, in_place=True)


def halved(bottom):
    """2×2 max pooling."""
    return L.Pooling(bottom, pool="MAX", kernel_size=2, stride=2)


def connected(bottom, outputs, filler=SMALL):
    """A fully connected layer."""
    return L.InnerProduct(bottom, num_output=outputs, weight_filler=filler)


def path(name):
    """The path of a file or folder beside the pictures."""
    return os.path.relpath(data.HERE / name)


def add_data(n):
    """Add pictures and their objects, and in TEST phase the size that RoIData gives, too."""
    with n.phase("TRAIN"):
        n.data, n.im_info, n.gt_boxes = L.RoIData(
            ntop=3,
            source=path("train_lmdb"),
            num_classes=CLASSES,
            has_rpn=True,
            ims_per_batch=1,
            scale=[data.SIDE],
            pixel_mean=[MEAN] * 3,
            use_flipped=False,
        )
    with n.phase("TEST"):
        n.data, n.label = L.AnnotatedData(
            ntop=2,
            data_param={"source": path("test_lmdb"), "backend": "LMDB", "batch_size": 1},
            label_map_file=path("labelmap.prototxt"),
            transform_param={"mean_value": [MEAN] * 3},
        )
        n.size, n.zoom = L.DummyData(
            ntop=2,
            shape=[{"dim": [1, 2]}, {"dim": [1, 1]}],
            data_filler=[{"type": "constant", "value": data.SIDE}, {"type": "constant", "value": 1}],
        )
        n.im_info = L.Concat(n.size, n.zoom, axis=1)


def add_features(n):
    """Add the convolutions that proposals and classification share."""
    n.scaled = L.Power(n.data, scale=SCALE)
    n.conv1 = convolved(n.scaled, 16, size=5, stride=2)
    n.conv2 = convolved(n.conv1, 32)
    n.conv3 = convolved(halved(n.conv2), 64)
    n.conv4 = convolved(halved(n.conv3), 64)
    n.conv5 = convolved(n.conv4, 96)


def add_proposals(n):
    """Add the region proposal network, and in TRAIN phase its losses and the regions drawn for training."""
    n.rpn = convolved(n.conv5, 96)
    n.rpn_cls_score = L.Convolution(n.rpn, num_output=2 * COUNT, kernel_size=1, weight_filler=SMALL)
    n.rpn_bbox_pred = L.Convolution(n.rpn, num_output=4 * COUNT, kernel_size=1, weight_filler=SMALL)
    n.rpn_cls_score_reshape = L.Reshape(n.rpn_cls_score, shape={"dim": [0, 2, -1, 0]})
    with n.phase("TRAIN"):
        n.rpn_labels, *targets = L.AnchorTarget(
            n.rpn_cls_score,
            n.gt_boxes,
            n.im_info,
            ntop=4,
            **ANCHORS,
            allowed_border=STRIDE,
            positive_overlap=0.6,
            negative_overlap=0.3,
            batch_size=64,
        )
        n.rpn_bbox_targets, n.rpn_bbox_inside_weights, n.rpn_bbox_outside_weights = targets
        n.rpn_loss_cls = L.SoftmaxWithLoss(
            n.rpn_cls_score_reshape, n.rpn_labels, loss_param={"ignore_label": -1}, propagate_down=[True, False]
        )
        n.rpn_loss_bbox = L.SmoothL1Loss(n.rpn_bbox_pred, *targets, sigma=3.0, loss_weight=1)
    n.rpn_cls_prob = L.Softmax(n.rpn_cls_score_reshape)
    n.rpn_cls_prob_reshape = L.Reshape(n.rpn_cls_prob, shape={"dim": [0, 2 * COUNT, -1, 0]})
    proposal = {**ANCHORS, "min_size": 6, "nms_thresh": 0.7, "pre_nms_topn": 300, "post_nms_topn": 40}
    bottoms = (n.rpn_cls_prob_reshape, n.rpn_bbox_pred, n.im_info)
    with n.phase("TRAIN"):
        n.rpn_rois = L.Proposal(*bottoms, **proposal, train_post_nms_topn=100)
        n.rois, n.labels, n.bbox_targets, n.bbox_inside_weights, n.bbox_outside_weights = L.ProposalTarget(
            n.rpn_rois,
            n.gt_boxes,
            ntop=5,
            num_classes=CLASSES,
            batch_size=48,
            fg_fraction=0.4,
            bg_thresh_lo=0.0,
            normalize=True,
            bbox_std=[DEVIATION] * 4,
        )
    with n.phase("TEST"):
        n.rois = L.Proposal(*bottoms, **proposal)


def add_classification(n):
    """Add the class and the box of each region, and in TRAIN phase their losses."""
    n.pool5 = L.ROIPooling(n.conv5, n.rois, pooled_h=BINS, pooled_w=BINS, spatial_scale=1 / STRIDE)
    n.fc6 = L.ReLU(connected(n.pool5, 192, MSRA), in_place=True)
    n.cls_score = connected(n.fc6, CLASSES)
    n.bbox_pred = connected(n.fc6, 4 * CLASSES, {"type": "gaussian", "std": 0.001})
    with n.phase("TRAIN"):
        n.loss_cls = L.SoftmaxWithLoss(n.cls_score, n.labels, propagate_down=[True, False])
        n.loss_bbox = L.SmoothL1Loss(
            n.bbox_pred, n.bbox_targets, n.bbox_inside_weights, n.bbox_outside_weights, loss_weight=1
        )


def add_evaluation(n):
    """Add detections in fractions of the picture: regions are priors, whose second corner lies inside."""
    n.prob = L.Softmax(n.cls_score)
    n.image, n.first, n.second = L.Slice(n.rois, ntop=3, axis=1, slice_point=[1, 3])
    n.silence = L.Silence(n.image, ntop=0)
    n.upper_left = L.Power(n.first, scale=1 / data.SIDE)
    n.lower_right = L.Power(n.second, scale=1 / data.SIDE, shift=1 / data.SIDE)
    n.corners = L.Concat(n.upper_left, n.lower_right, axis=1)
    n.regions = L.Reshape(n.corners, shape={"dim": [1, 1, -1]})
    n.variances = L.Power(n.regions, scale=0, shift=DEVIATION)
    n.priors = L.Concat(n.regions, n.variances, axis=1)
    n.offsets = L.Reshape(n.bbox_pred, shape={"dim": [1, -1]})
    n.scores = L.Reshape(n.prob, shape={"dim": [1, -1]})
    n.detections = L.DetectionOutput(
        n.offsets,
        n.scores,
        n.priors,
        num_classes=CLASSES,
        share_location=False,
        code_type="CENTER_SIZE",
        nms_param={"nms_threshold": 0.45},
        keep_top_k=50,
        confidence_threshold=0.01,
    )
    n.evaluation = L.DetectionEvaluate(
        n.detections, n.label, num_classes=CLASSES, overlap_threshold=0.5, name_size_file=path("name_size.txt")
    )


data.make(data.HERE, test=TEST_PICTURES)
(HERE / "snapshots").mkdir(exist_ok=True)
n = NetSpec("Faster_RCNN_digits")
add_data(n)
add_features(n)
add_proposals(n)
add_classification(n)
with n.phase("TEST"):
    add_evaluation(n)

solver = SolverSpec(
    net=n,
    type="Adam",
    base_lr=0.0005,
    lr_policy="multistep",
    gamma=0.2,
    stepvalue=[2600, 3500],
    momentum=0.9,
    momentum2=0.999,
    weight_decay=1e-4,
    max_iter=4000,
    display=200,
    average_loss=200,
    test_iter=TEST_PICTURES,
    test_interval=1000,
    test_initialization=False,
    snapshot=2000,
    snapshot_prefix=os.path.relpath(HERE / "snapshots" / "faster_rcnn"),
    eval_type="detection",
    ap_version="Integral",
    random_seed=1,
)
