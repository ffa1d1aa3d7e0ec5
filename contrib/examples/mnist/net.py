"""The classic LeNet on MNIST: ``cafx train net.py [--data FOLDER]``."""

import mnist_data as data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

BATCH, TEST_BATCH = 64, 100
PIXEL_SCALE = 1 / 256


def weighted(layer, bottom, outputs, **options):
    """A layer with xavier weights and twice the learning rate for the bias."""
    return layer(
        bottom,
        num_output=outputs,
        param=[{"lr_mult": 1}, {"lr_mult": 2}],
        weight_filler={"type": "xavier"},
        bias_filler={"type": "constant"},
        **options,
    )


def convolved(bottom, outputs):
    """A 5×5 convolution and its 2×2 max pooling."""
    conv = weighted(L.Convolution, bottom, outputs, kernel_size=5, stride=1)
    return conv, L.Pooling(conv, pool="MAX", kernel_size=2, stride=2)


n = NetSpec("LeNet")
for phase, batch in (("TRAIN", BATCH), ("TEST", TEST_BATCH)):
    with n.phase(phase):
        n.data, n.label = L.Data(
            source=data.database(phase.lower()),
            backend="LMDB",
            batch_size=batch,
            ntop=2,
            transform_param={"scale": PIXEL_SCALE},
        )
n.conv1, n.pool1 = convolved(n.data, 20)
n.conv2, n.pool2 = convolved(n.pool1, 50)
n.ip1 = weighted(L.InnerProduct, n.pool2, 500)
n.relu1 = L.ReLU(n.ip1, in_place=True)
n.ip2 = weighted(L.InnerProduct, n.relu1, 10)
with n.phase("TEST"):
    n.accuracy = L.Accuracy(n.ip2, n.label)
n.loss = L.SoftmaxWithLoss(n.ip2, n.label)

solver = SolverSpec(
    net=n,
    base_lr=0.01,
    lr_policy="inv",
    gamma=1e-4,
    power=0.75,
    momentum=0.9,
    weight_decay=5e-4,
    max_iter=10000,
    display=100,
    average_loss=20,
    test_iter=100,
    test_interval=1000,
    snapshot=5000,
    snapshot_prefix=data.snapshots("lenet"),
    random_seed=1,
)
