"""A small LeNet on scikit-learn's handwritten digits: ``cafx train net.py``."""

import digits_data as data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

BATCH, TEST_BATCH = 64, 90
PIXEL_SCALE = 1 / 16  # pixels are from 0 to 16


def weighted(layer, bottom, outputs, **options):
    """A layer with xavier weights and twice the learning rate for the bias."""
    return layer(
        bottom, num_output=outputs, param=[{"lr_mult": 1}, {"lr_mult": 2}], weight_filler={"type": "xavier"}, **options
    )


def convolved(bottom, outputs):
    """A 3×3 convolution and its 2×2 max pooling."""
    conv = weighted(L.Convolution, bottom, outputs, kernel_size=3, pad=1)
    return conv, L.Pooling(conv, pool="MAX", kernel_size=2, stride=2)


n = NetSpec("DigitsLeNet")
for phase, batch in (("TRAIN", BATCH), ("TEST", TEST_BATCH)):
    with n.phase(phase):
        n.data, n.label = L.Data(
            source=data.database(phase.lower()),
            backend="LMDB",
            batch_size=batch,
            ntop=2,
            transform_param={"scale": PIXEL_SCALE, "crop_size": data.SIDE},
        )
n.conv1, n.pool1 = convolved(n.data, 20)
n.conv2, n.pool2 = convolved(n.pool1, 50)
n.ip1 = weighted(L.InnerProduct, n.pool2, 200)
n.relu1 = L.ReLU(n.ip1, in_place=True)
n.ip2 = weighted(L.InnerProduct, n.relu1, 10)
with n.phase("TEST"):
    n.accuracy = L.Accuracy(n.ip2, n.label)
n.loss = L.SoftmaxWithLoss(n.ip2, n.label)

solver = SolverSpec(
    net=n,
    base_lr=0.03,
    lr_policy="inv",
    gamma=2e-3,
    power=0.75,
    momentum=0.9,
    weight_decay=5e-4,
    max_iter=2000,
    display=100,
    average_loss=20,
    test_iter=data.TEST_IMAGES // TEST_BATCH,
    test_interval=500,
    snapshot=1000,
    snapshot_prefix=data.snapshots("lenet"),
    random_seed=1,
)
