"""A siamese net, two towers with the same weights that put equal digits near each other: ``cafx train net.py``."""

import data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

BATCH, TEST_BATCH = 64, 100
SCALE = 1 / 256
MARGIN = 1


def tower(net, bottom, suffix=""):
    """Two convolutions and two fully connected layers, down to a point of the plane, ``feat``."""

    def add(kind, name, below, outputs, **options):
        param = [{"name": f"{name}_w", "lr_mult": 1}, {"name": f"{name}_b", "lr_mult": 2}]  # shared by both towers
        net[name + suffix] = kind(below, num_output=outputs, param=param, weight_filler={"type": "xavier"}, **options)
        return net[name + suffix]

    def pooled(number, below):
        net[f"pool{number}{suffix}"] = L.Pooling(below, pool="MAX", kernel_size=2, stride=2)
        net[f"relu{number}{suffix}"] = L.ReLU(net[f"pool{number}{suffix}"], in_place=True)
        return net[f"relu{number}{suffix}"]

    x = pooled(1, add(L.Convolution, "conv1", bottom, 16, kernel_size=5))
    x = pooled(2, add(L.Convolution, "conv2", x, 32, kernel_size=5))
    x = add(L.InnerProduct, "ip1", x, 128)
    net[f"relu3{suffix}"] = x = L.ReLU(x, in_place=True)
    return add(L.InnerProduct, "feat", x, 2)


def embedding(batch):
    """One tower: images in, points of the plane out."""
    net = NetSpec("embedding")
    net.data = L.Input(shape=[batch, 1, 28, 28])
    tower(net, net.data)
    return net


n = NetSpec("siamese")
for phase, batch in (("TRAIN", BATCH), ("TEST", TEST_BATCH)):
    with n.phase(phase):
        n.pair, n.same = L.Data(
            source=data.database(phase.lower()),
            backend="LMDB",
            batch_size=batch,
            ntop=2,
            transform_param={"scale": SCALE},
        )
n.data, n.data_p = L.Slice(n.pair, ntop=2, axis=1, slice_point=1)
tower(n, n.data)
tower(n, n.data_p, "_p")
n.loss = L.ContrastiveLoss(n.feat, n.feat_p, n.same, margin=MARGIN)

solver = SolverSpec(
    net=n,
    type="Adam",
    base_lr=0.001,
    momentum=0.9,
    momentum2=0.999,
    lr_policy="step",
    stepsize=3000,
    gamma=0.1,
    max_iter=4000,
    display=400,
    test_iter=50,
    test_interval=1000,
    snapshot_prefix="siamese",
    random_seed=1,
)
