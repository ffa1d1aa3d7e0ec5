"""CIFAR-10 quick, after cuda-convnet: ``cafx train net.py [--data FOLDER]``."""

import os

import cifar10_data as data
from parts import add_loss, connected, convolved, data_net, pooled

from cafx.dsl import SolverSpec
from cafx.dsl import layers as L

n = data_net("CIFAR10_quick")
n.conv1 = convolved(n.data, 32, 0.0001)
n.pool1 = pooled(n.conv1, "MAX")
n.relu1 = L.ReLU(n.pool1, in_place=True)
n.conv2 = convolved(n.relu1, 32, 0.01)
n.relu2 = L.ReLU(n.conv2, in_place=True)
n.pool2 = pooled(n.relu2, "AVE")
n.conv3 = convolved(n.pool2, 64, 0.01)
n.relu3 = L.ReLU(n.conv3, in_place=True)
n.pool3 = pooled(n.relu3, "AVE")
n.ip1 = connected(n.pool3, 64, 0.1)
n.ip2 = connected(n.ip1, 10, 0.1)
add_loss(n, n.ip2)

solver = SolverSpec(
    net=n,
    base_lr=0.001,
    lr_policy="multistep",
    gamma=0.1,
    stepvalue=[4000],
    momentum=0.9,
    weight_decay=0.004,
    max_iter=5000,
    display=100,
    average_loss=20,
    test_iter=100,
    test_interval=500,
    snapshot=1000,
    snapshot_prefix=os.path.relpath(data.HERE / "cifar10_quick"),
    random_seed=1,
)
