"""A net with two inputs and two tasks, from three Data layers in lock-step: ``cafx train net.py``."""

import data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

BATCH, TEST_BATCH = 50, 100
CODE, HIDDEN, CLASSES = 96, 256, 10
WEIGHTS = {"classes": 1, "pixels": 0.01}  # of the losses: the second is a sum over 784 pixels
VIEWS = ("left", "right")


def coded(net, views):
    """A code of what the cameras see: two convolutions per view, joined."""
    for view in views:
        bottom = net[view]
        for number, outputs in ((1, 12), (2, 24)):
            name = f"{number}_{view}"
            net[f"conv{name}"] = L.Convolution(
                bottom, num_output=outputs, kernel_size=3, pad=1, weight_filler={"type": "msra"}
            )
            net[f"pool{name}"] = L.Pooling(net[f"conv{name}"], pool="MAX", kernel_size=2, stride=2)
            net[f"relu{name}"] = bottom = L.ReLU(net[f"pool{name}"], in_place=True)
    net.joined = L.Concat(*(net[f"relu2_{view}"] for view in views))
    net.code = L.InnerProduct(net.joined, num_output=CODE, weight_filler={"type": "msra"})
    net.relu_code = L.ReLU(net.code, in_place=True)
    return net.relu_code


def heads(net, code):
    """One head per task: class scores, and pixels before the sigmoid."""
    net.score = L.InnerProduct(code, num_output=CLASSES, weight_filler={"type": "xavier"})
    net.hidden = L.InnerProduct(code, num_output=HIDDEN, weight_filler={"type": "msra"})
    net.relu_hidden = L.ReLU(net.hidden, in_place=True)
    net.pixels = L.InnerProduct(net.relu_hidden, num_output=data.SIDE**2, weight_filler={"type": "xavier"})
    return net.score, net.pixels


def multitask(classes=WEIGHTS["classes"], pixels=WEIGHTS["pixels"], views=VIEWS):
    """The net with these loss weights and views.

    ``out_of_step`` compares the labels that come with the two views, and is 0 as long as they are of the same digits.
    """
    net = NetSpec("multitask")
    scaled = {"scale": 1 / 256}
    for phase, batch in (("TRAIN", BATCH), ("TEST", TEST_BATCH)):
        with net.phase(phase):
            sources = {
                what: {"source": data.database(what, phase.lower()), "backend": "LMDB", "batch_size": batch}
                for what in data.WHAT
            }
            net.left, net.label = L.Data(ntop=2, transform_param=scaled, **sources["left"])
            net.right, net.label_right = L.Data(ntop=2, transform_param=scaled, **sources["right"])
            net.whole = L.Data(transform_param=scaled, **sources["whole"])
    score, decoded = heads(net, coded(net, views))
    with net.phase("TEST"):
        net.accuracy = L.Accuracy(score, net.label)
    net.class_loss = L.SoftmaxWithLoss(score, net.label, loss_weight=classes)
    net.flat = L.Flatten(net.whole)
    net.pixel_loss = L.SigmoidCrossEntropyLoss(decoded, net.flat, loss_weight=pixels)
    net.reconstruction = L.Sigmoid(decoded)
    net.pixel_error = L.EuclideanLoss(net.reconstruction, net.flat, loss_weight=0)
    net.out_of_step = L.EuclideanLoss(net.label, net.label_right, loss_weight=0)
    return net


def deployed(batch):
    """The net to be used: two views in, probabilities and a reconstruction out."""
    net = NetSpec("multitask")
    for view in VIEWS:
        net[view] = L.Input(shape=[batch, 1, data.SIDE, data.HALF])
    score, decoded = heads(net, coded(net, VIEWS))
    net.prob = L.Softmax(score)
    net.reconstruction = L.Sigmoid(decoded)
    return net


def solved(net):
    """The solver of a net."""
    return SolverSpec(
        net=net,
        type="Adam",
        base_lr=0.001,
        momentum=0.9,
        momentum2=0.999,
        lr_policy="step",
        stepsize=1200,
        gamma=0.1,
        weight_decay=0,
        max_iter=1600,
        display=200,
        test_iter=50,
        test_interval=800,
        snapshot_prefix="multitask",
        random_seed=1,
    )


n = multitask()
solver = solved(n)
