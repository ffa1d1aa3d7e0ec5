"""Shared by the two nets for CIFAR-10."""

import cifar10_data as data

from cafx.dsl import NetSpec
from cafx.dsl import layers as L

BATCH = 100
PARAM = [{"lr_mult": 1}, {"lr_mult": 2}]


def data_net(name):
    """A net that reads CIFAR-10 and subtracts the mean."""
    net = NetSpec(name)
    for phase in ("TRAIN", "TEST"):
        with net.phase(phase):
            net.data, net.label = L.Data(
                source=data.database(phase.lower()),
                backend="LMDB",
                batch_size=BATCH,
                ntop=2,
                transform_param={"mean_file": data.mean_file()},
            )
    return net


def convolved(bottom, outputs, std, param=PARAM):
    """A 5×5 convolution that preserves the image size."""
    return L.Convolution(
        bottom,
        num_output=outputs,
        pad=2,
        kernel_size=5,
        stride=1,
        param=param,
        weight_filler={"type": "gaussian", "std": std},
        bias_filler={"type": "constant"},
    )


def connected(bottom, outputs, std, param=PARAM):
    """A fully connected layer."""
    return L.InnerProduct(
        bottom,
        num_output=outputs,
        param=param,
        weight_filler={"type": "gaussian", "std": std},
        bias_filler={"type": "constant"},
    )


def pooled(bottom, pool):
    """A 3×3 pooling with stride 2."""
    return L.Pooling(bottom, pool=pool, kernel_size=3, stride=2)


def add_loss(net, scores):
    """Add the loss and, in TEST phase, the accuracy."""
    net.loss = L.SoftmaxWithLoss(scores, net.label)
    with net.phase("TEST"):
        net.accuracy = L.Accuracy(scores, net.label)
