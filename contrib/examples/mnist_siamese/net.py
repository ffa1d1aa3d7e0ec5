"""A siamese net, two LeNets with shared weights that embed equal digits close together: ``cafx train net.py``."""

import os

import siamese_data as data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

BATCH, TEST_BATCH = 64, 100
PIXEL_SCALE = 1 / 256
MARGIN = 1


def shared(name):
    """Parameter names of a layer, by which both towers share its weights and bias."""
    return [{"name": f"{name}_w", "lr_mult": 1}, {"name": f"{name}_b", "lr_mult": 2}]


def layer(kind, bottom, name, outputs, **options):
    """A layer whose parameters are shared by both towers."""
    return kind(
        bottom,
        num_output=outputs,
        param=shared(name),
        weight_filler={"type": "xavier"},
        bias_filler={"type": "constant"},
        **options,
    )


def tower(net, bottom, suffix=""):
    """LeNet up to a two-dimensional embedding, ``feat``."""

    def add(name, top):
        net[name + suffix] = top
        return top

    x = add("conv1", layer(L.Convolution, bottom, "conv1", 20, kernel_size=5, stride=1))
    x = add("pool1", L.Pooling(x, pool="MAX", kernel_size=2, stride=2))
    x = add("conv2", layer(L.Convolution, x, "conv2", 50, kernel_size=5, stride=1))
    x = add("pool2", L.Pooling(x, pool="MAX", kernel_size=2, stride=2))
    x = add("ip1", layer(L.InnerProduct, x, "ip1", 500))
    x = add("relu1", L.ReLU(x, in_place=True))
    x = add("ip2", layer(L.InnerProduct, x, "ip2", 10))
    return add("feat", layer(L.InnerProduct, x, "feat", 2))


n = NetSpec("mnist_siamese")
for phase, batch in (("TRAIN", BATCH), ("TEST", TEST_BATCH)):
    with n.phase(phase):
        n.pair_data, n.sim = L.Data(
            source=data.database(phase.lower()),
            backend="LMDB",
            batch_size=batch,
            ntop=2,
            transform_param={"scale": PIXEL_SCALE},
        )
n.data, n.data_p = L.Slice(n.pair_data, ntop=2, axis=1, slice_point=1)
tower(n, n.data)
tower(n, n.data_p, "_p")
n.loss = L.ContrastiveLoss(n.feat, n.feat_p, n.sim, margin=MARGIN)

embedding = NetSpec("mnist_siamese")
embedding.data = L.Input(shape={"dim": [TEST_BATCH, 1, 28, 28]})
tower(embedding, embedding.data)

solver = SolverSpec(
    net=n,
    base_lr=0.01,
    lr_policy="inv",
    gamma=1e-4,
    power=0.75,
    momentum=0.9,
    weight_decay=0,
    max_iter=50000,
    display=100,
    average_loss=20,
    test_iter=100,
    test_interval=500,
    snapshot=5000,
    snapshot_prefix=os.path.relpath(data.HERE / "siamese"),
    random_seed=1,
)
