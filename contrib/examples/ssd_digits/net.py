"""A small SSD that finds handwritten digits: ``cafx train net.py``."""

import os

import data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

BATCH, TEST_BATCH, TEST_PICTURES = 32, 50, 500
CLASSES = 11  # ten digits and the background
RATIOS = [0.6, 0.35]  # digits are higher than wide
VARIANCE = [0.1, 0.1, 0.2, 0.2]
MEAN, SCALE = 64, 1 / 64
HEADS = {"conv5": (8, (20, 30)), "conv7": (16, (32, 46))}  # pixels per cell, sizes of priors
WINDOW = {
    "sampler": {"min_scale": 0.7, "max_scale": 1.0, "min_aspect_ratio": 0.8, "max_aspect_ratio": 1.25},
    "sample_constraint": {"min_object_coverage": 1.0},
    "max_sample": 1,
    "max_trials": 20,
}
MSRA = {"type": "msra"}


def path(name):
    """The path of a file or folder in this folder."""
    return os.path.relpath(data.HERE / name)


def convolved(bottom, outputs, size=3, stride=1):
    """A convolution, batch normalisation and ReLU; the size of the map is divided by the stride."""
    x = L.Convolution(
        bottom, num_output=outputs, kernel_size=size, pad=size // 2, stride=stride, bias_term=False, weight_filler=MSRA
    )
    x = L.Scale(L.BatchNorm(x, in_place=True, moving_average_fraction=0.95), in_place=True, bias_term=True)
    return L.ReLU(x, in_place=True)


def halved(bottom):
    """2×2 max pooling."""
    return L.Pooling(bottom, pool="MAX", kernel_size=2, stride=2)


def add_data(n):
    """Add pictures and the boxes of their digits; in TRAIN phase, windows of them, some on a larger canvas."""
    pixels = {"mean_value": [MEAN] * 3, "scale": SCALE}
    with n.phase("TRAIN"):
        n.data, n.label = L.AnnotatedData(
            ntop=2,
            data_param={"source": path("train_lmdb"), "backend": "LMDB", "batch_size": BATCH, "shuffle": True},
            label_map_file=path("labelmap.prototxt"),
            batch_sampler=[{"max_sample": 1, "max_trials": 1}, WINDOW],
            transform_param={
                **pixels,
                "resize_param": {"height": data.SIDE, "width": data.SIDE},
                "expand_param": {"prob": 0.5, "max_expand_ratio": 1.3},
                "emit_constraint": {"emit_type": "CENTER"},
            },
        )
    with n.phase("TEST"):
        n.data, n.label = L.AnnotatedData(
            ntop=2,
            data_param={"source": path("test_lmdb"), "backend": "LMDB", "batch_size": TEST_BATCH},
            label_map_file=path("labelmap.prototxt"),
            transform_param=pixels,
        )


def add_features(n):
    """Add the convolutions."""
    n.conv1 = convolved(n.data, 16, size=5, stride=2)
    n.conv2 = convolved(n.conv1, 32)
    n.conv3 = convolved(halved(n.conv2), 64)
    n.conv4 = convolved(halved(n.conv3), 64)
    n.conv5 = convolved(n.conv4, 96)
    n.conv6 = convolved(halved(n.conv5), 96)
    n.conv7 = convolved(n.conv6, 128)


def add_predictions(n):
    """Add offsets, scores and priors of all feature maps."""
    for name, (step, sizes) in HEADS.items():
        add_head(n, name, step, sizes)
    n.loc = L.Concat(*(n[f"{name}_loc_flat"] for name in HEADS), axis=1)
    n.conf = L.Concat(*(n[f"{name}_conf_flat"] for name in HEADS), axis=1)
    n.priors = L.Concat(*(n[f"{name}_priors"] for name in HEADS), axis=2)


def add_head(n, name, step, sizes):
    """Add offsets, scores and priors of a feature map, flattened.

    Args:
        n: the net.
        name: the feature map.
        step: pixels of the picture per cell.
        sizes: side of the small square prior, and the larger one that the second square lies between.
    """
    priors = 2 + len(RATIOS)
    for what, values in (("loc", 4), ("conf", CLASSES)):
        x = L.Convolution(n[name], num_output=priors * values, kernel_size=3, pad=1, weight_filler=MSRA)
        n[f"{name}_{what}"] = x
        n[f"{name}_{what}_perm"] = L.Permute(x, order=[0, 2, 3, 1])
        n[f"{name}_{what}_flat"] = L.Flatten(n[f"{name}_{what}_perm"], axis=1)
    n[f"{name}_priors"] = L.PriorBox(
        n[name],
        n.data,
        min_size=sizes[:1],
        max_size=sizes[1:],
        aspect_ratio=RATIOS,
        flip=False,
        step=step,
        variance=VARIANCE,
    )


def add_evaluation(n):
    """Add detections and their precision."""
    n.conf_rows = L.Reshape(n.conf, shape={"dim": [0, -1, CLASSES]})
    n.prob = L.Softmax(n.conf_rows, axis=2)
    n.prob_flat = L.Flatten(n.prob, axis=1)
    n.detections = L.DetectionOutput(
        n.loc,
        n.prob_flat,
        n.priors,
        num_classes=CLASSES,
        code_type="CENTER_SIZE",
        nms_param={"nms_threshold": 0.45, "top_k": 100},
        keep_top_k=50,
        confidence_threshold=0.01,
    )
    n.evaluation = L.DetectionEvaluate(
        n.detections, n.label, num_classes=CLASSES, overlap_threshold=0.5, name_size_file=path("name_size.txt")
    )


data.make(data.HERE, test=TEST_PICTURES)
(data.HERE / "snapshots").mkdir(exist_ok=True)
n = NetSpec("SSD_digits")
add_data(n)
add_features(n)
add_predictions(n)
with n.phase("TRAIN"):
    n.loss = L.MultiBoxLoss(
        n.loc,
        n.conf,
        n.priors,
        n.label,
        num_classes=CLASSES,
        code_type="CENTER_SIZE",
        overlap_threshold=0.5,
        propagate_down=[True, True, False, False],
    )
with n.phase("TEST"):
    add_evaluation(n)

solver = SolverSpec(
    net=n,
    base_lr=0.02,
    lr_policy="multistep",
    gamma=0.1,
    stepvalue=[550, 720],
    momentum=0.9,
    weight_decay=5e-4,
    max_iter=800,
    display=50,
    average_loss=20,
    test_iter=TEST_PICTURES // TEST_BATCH,
    test_interval=200,
    test_initialization=False,
    snapshot=400,
    snapshot_prefix=path("snapshots/ssd"),
    eval_type="detection",
    ap_version="Integral",
    random_seed=1,
)
