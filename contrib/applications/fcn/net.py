"""Fully convolutional nets with strides of 32, 16 and 8 pixels; the first is trained by ``cafx train net.py``."""

import data
from caffe.coord_map import crop

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

CLASSES = len(data.CLASSES)
BATCH, TEST_BATCH = 4 if data.SMALL else 16, 20
BLOCKS = ((16, 1), (32, 1), (64, 2), (64, 2), (96, 1))  # outputs and number of convolutions before each pooling
SKIPS = {32: (), 16: ("pool4",), 8: ("pool4", "pool3")}  # pooled maps whose scores are added, by stride
PIXELS = {"mean_value": 128, "scale": 1 / 64}


def convolved(bottom, outputs, kernel=3, filler="msra"):
    """A convolution that keeps the size."""
    return L.Convolution(bottom, num_output=outputs, kernel_size=kernel, pad=kernel // 2, weight_filler=filler)


def scored(bottom):
    """A score per class at every position; from zeros, so that a new layer changes nothing at first."""
    return convolved(bottom, CLASSES, kernel=1, filler="constant")


def enlarged(bottom, factor):
    """Scores upsampled by bilinear interpolation, which is not learned."""
    return L.Deconvolution(
        bottom,
        num_output=CLASSES,
        group=CLASSES,
        kernel_size=2 * factor,
        stride=factor,
        bias_term=False,
        weight_filler="bilinear",
        param={"lr_mult": 0},
    )


def fcn(net, image, stride):
    """Scores of every pixel of ``image``: those of the coarsest map, with finer ones added after each upsampling."""
    top = image
    for block, (outputs, convolutions) in enumerate(BLOCKS, 1):
        for number in range(1, convolutions + 1):
            net[f"conv{block}_{number}"] = convolved(top, outputs)
            net[f"relu{block}_{number}"] = top = L.ReLU(net[f"conv{block}_{number}"], in_place=True)
        net[f"pool{block}"] = top = L.Pooling(top, pool="MAX", kernel_size=2, stride=2)
    net.fc6 = convolved(top, 128)
    net.relu6 = L.ReLU(net.fc6, in_place=True)
    net.score_fr = top = scored(net.relu6)
    for skip in SKIPS[stride]:
        net[f"score_{skip}"] = scored(net[skip])
        net[f"upscore_{skip}"] = enlarged(top, 2)
        net[f"upscore_{skip}c"] = crop(net[f"upscore_{skip}"], net[f"score_{skip}"])
        net[f"fuse_{skip}"] = top = L.Eltwise(net[f"upscore_{skip}c"], net[f"score_{skip}"], operation="SUM")
    net[f"upscore{stride}"] = enlarged(top, stride)
    net.score = crop(net[f"upscore{stride}"], image)
    return net.score


def trained(stride):
    """A net with data and loss."""
    net = NetSpec(f"fcn{stride}s")
    for phase, batch in (("TRAIN", BATCH), ("TEST", TEST_BATCH)):
        with net.phase(phase):
            for top, what, transform in (("data", "images", PIXELS), ("label", "labels", {})):
                source = data.database(phase.lower(), what)
                net[top] = L.Data(source=source, backend="LMDB", batch_size=batch, transform_param=transform)
    fcn(net, net.data, stride)
    with net.phase("TEST"):
        net.accuracy = L.Accuracy(net.score, net.label)
    net.loss = L.SoftmaxWithLoss(net.score, net.label)
    return net


def deployed(stride, height, width):
    """A net for one picture of any size."""
    net = NetSpec(f"fcn{stride}s")
    net.data = L.Input(shape=[1, 3, height, width])
    fcn(net, net.data, stride)
    return net


def solved(net, name, iterations, base_lr):
    """The solver of a stage."""
    return SolverSpec(
        net=net,
        type="Adam",
        base_lr=base_lr,
        lr_policy="poly",
        power=1,
        momentum=0.9,
        momentum2=0.999,
        max_iter=iterations,
        display=100,
        test_iter=15,
        test_interval=iterations,
        test_initialization=False,
        snapshot_prefix=name,
        random_seed=1,
    )


n = trained(32)
solver = solved(n, "fcn32s", iterations=1000, base_lr=0.002)
