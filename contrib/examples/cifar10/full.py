"""CIFAR-10 full, after cuda-convnet: ``cafx train full.py [--data FOLDER]``."""

import os

import cifar10_data as data
from parts import add_loss, connected, convolved, data_net, pooled

from cafx.dsl import SolverSpec
from cafx.dsl import layers as L

LAST = [{"lr_mult": 1, "decay_mult": 250}, {"lr_mult": 2, "decay_mult": 0}]


def normalised(bottom):
    """Local response normalisation within each channel."""
    return L.LRN(bottom, local_size=3, alpha=5e-5, beta=0.75, norm_region="WITHIN_CHANNEL")


n = data_net("CIFAR10_full")
n.conv1 = convolved(n.data, 32, 0.0001)
n.pool1 = pooled(n.conv1, "MAX")
n.relu1 = L.ReLU(n.pool1, in_place=True)
n.norm1 = normalised(n.relu1)
n.conv2 = convolved(n.norm1, 32, 0.01)
n.relu2 = L.ReLU(n.conv2, in_place=True)
n.pool2 = pooled(n.relu2, "AVE")
n.norm2 = normalised(n.pool2)
n.conv3 = convolved(n.norm2, 64, 0.01, param=[{"lr_mult": 1}, {"lr_mult": 1}])
n.relu3 = L.ReLU(n.conv3, in_place=True)
n.pool3 = pooled(n.relu3, "AVE")
n.ip1 = connected(n.pool3, 10, 0.01, param=LAST)
add_loss(n, n.ip1)

solver = SolverSpec(
    net=n,
    base_lr=0.001,
    lr_policy="multistep",
    gamma=0.1,
    stepvalue=[60000, 65000],
    momentum=0.9,
    weight_decay=0.004,
    max_iter=70000,
    display=200,
    average_loss=20,
    test_iter=100,
    test_interval=1000,
    snapshot=10000,
    snapshot_prefix=os.path.relpath(data.HERE / "cifar10_full"),
    random_seed=1,
)
