"""The net that R-CNN begins with, a classifier of single digits: ``cafx train pretrain.py``."""

import data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

BATCH, TEST_BATCH = 64, 100


def trunk(net, bottom):
    """Three convolutions and poolings, and the features of a window."""
    for number, (outputs, size) in enumerate(((16, 5), (32, 3), (48, 3)), 1):
        maps = L.Convolution(bottom, num_output=outputs, kernel_size=size, pad=size // 2, weight_filler="msra")
        net[f"conv{number}"] = maps
        net[f"pool{number}"] = L.Pooling(maps, pool="MAX", kernel_size=2, stride=2)
        net[f"relu{number}"] = bottom = L.ReLU(net[f"pool{number}"], in_place=True)
    net.fc4 = L.InnerProduct(bottom, num_output=96, weight_filler="msra")
    net.relu4 = L.ReLU(net.fc4, in_place=True)
    return net.relu4


n = NetSpec("digits")
for phase, batch in (("TRAIN", BATCH), ("TEST", TEST_BATCH)):
    with n.phase(phase):
        n.data, n.label = L.Data(
            ntop=2,
            source=data.cut_out(phase.lower()),
            backend="LMDB",
            batch_size=batch,
            transform_param={"mean_value": [data.MEAN], "scale": data.SCALE},
        )
n.digit = L.InnerProduct(trunk(n, n.data), num_output=10, weight_filler="xavier")
with n.phase("TEST"):
    n.accuracy = L.Accuracy(n.digit, n.label)
n.loss = L.SoftmaxWithLoss(n.digit, n.label)

solver = SolverSpec(
    net=n,
    base_lr=0.01,
    lr_policy="step",
    stepsize=1000,
    gamma=0.1,
    momentum=0.9,
    weight_decay=5e-4,
    max_iter=1300,
    display=200,
    test_iter=20,
    test_interval=500,
    snapshot_prefix="digits",
    random_seed=1,
)
