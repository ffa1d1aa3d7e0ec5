"""A classifier of windows of 28×28 pixels, and the same net for pictures of any size: ``cafx train net.py``."""

import data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

CLASSES = 11  # ten digits, and none
WINDOW, STRIDE = 28, 4  # pixels from one window to the next: two poolings of stride 2
BATCH, TEST_BATCH = 64, 100


def trunk(net, bottom):
    """Three convolutions and two poolings, which both nets have."""
    net.conv1 = L.Convolution(bottom, num_output=16, kernel_size=5, weight_filler="xavier")
    net.relu1 = L.ReLU(net.conv1, in_place=True)
    net.conv2 = L.Convolution(net.relu1, num_output=32, kernel_size=3, weight_filler="msra")
    net.pool2 = L.Pooling(net.conv2, pool="MAX", kernel_size=2, stride=2)
    net.relu2 = L.ReLU(net.pool2, in_place=True)
    net.conv3 = L.Convolution(net.relu2, num_output=32, kernel_size=4, weight_filler="msra")
    net.pool3 = L.Pooling(net.conv3, pool="MAX", kernel_size=2, stride=2)
    net.relu3 = L.ReLU(net.pool3, in_place=True)
    return net.relu3


def classifier(bottom, net):
    """The trunk and two fully connected layers."""
    net.fc1 = L.InnerProduct(trunk(net, bottom), num_output=48, weight_filler="msra")
    net.relu4 = L.ReLU(net.fc1, in_place=True)
    net.score = L.InnerProduct(net.relu4, num_output=CLASSES, weight_filler="xavier")
    return net.score


def windows(batch):
    """The classifier, to be used: a batch of windows in, probabilities out."""
    net = NetSpec("windows")
    net.data = L.Input(shape=[batch, 1, WINDOW, WINDOW])
    net.prob = L.Softmax(classifier(net.data, net))
    return net


def dense(height, width):
    """The same net with its fully connected layers cast into convolutions, for a picture of any size."""
    net = NetSpec("dense")
    net.data = L.Input(shape=[1, 1, height, width])
    net.fc1_conv = L.Convolution(trunk(net, net.data), num_output=48, kernel_size=4)
    net.relu4 = L.ReLU(net.fc1_conv, in_place=True)
    net.score_conv = L.Convolution(net.relu4, num_output=CLASSES, kernel_size=1)
    net.prob = L.Softmax(net.score_conv)
    return net


n = NetSpec("classifier")
for phase, batch in (("TRAIN", BATCH), ("TEST", TEST_BATCH)):
    with n.phase(phase):
        n.data, n.label = L.Data(
            source=data.database(phase.lower()),
            backend="LMDB",
            batch_size=batch,
            ntop=2,
            transform_param={"scale": 1 / 256},
        )
classifier(n.data, n)
with n.phase("TEST"):
    n.accuracy = L.Accuracy(n.score, n.label)
n.loss = L.SoftmaxWithLoss(n.score, n.label)

solver = SolverSpec(
    net=n,
    base_lr=0.02,
    lr_policy="step",
    stepsize=1500,
    gamma=0.1,
    momentum=0.9,
    weight_decay=5e-4,
    max_iter=2000,
    display=200,
    test_iter=20,
    test_interval=1000,
    snapshot_prefix="windows",
    random_seed=1,
)
