"""A convolutional net that learns what is in a scene, before it is described: ``cafx train cnn.py``."""

import data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

FEATURES = 128
HEADS = {"large": len(data.NAMES), "small": len(data.NAMES), "relation": len(data.RELATIONS)}


def picture(net, phase):
    """The pictures of a phase."""
    return L.Data(
        source=data.pictures(phase), backend="LMDB", batch_size=data.BATCHES[phase], transform_param={"scale": 1 / 256}
    )


def trunk(net, bottom):
    """Four convolutions and one fully connected layer, which both nets have."""
    net.conv1 = L.Convolution(bottom, num_output=16, kernel_size=5, weight_filler="xavier")
    net.pool1 = L.Pooling(net.conv1, pool="MAX", kernel_size=2, stride=2)
    net.relu1 = L.ReLU(net.pool1, in_place=True)
    net.conv2 = L.Convolution(net.relu1, num_output=32, kernel_size=3, weight_filler="msra")
    net.pool2 = L.Pooling(net.conv2, pool="MAX", kernel_size=2, stride=2)
    net.relu2 = L.ReLU(net.pool2, in_place=True)
    net.conv3 = L.Convolution(net.relu2, num_output=64, kernel_size=3, weight_filler="msra")
    net.relu3 = L.ReLU(net.conv3, in_place=True)
    net.conv4 = L.Convolution(net.relu3, num_output=64, kernel_size=3, pad=1, weight_filler="msra")
    net.pool4 = L.Pooling(net.conv4, pool="MAX", kernel_size=2, stride=2)
    net.relu4 = L.ReLU(net.pool4, in_place=True)
    net.feature = L.InnerProduct(net.relu4, num_output=FEATURES, weight_filler="msra")
    net.relu5 = L.ReLU(net.feature, in_place=True)
    return net.relu5


n = NetSpec("objects")
for phase in data.COUNTS:
    with n.phase(phase.upper()):
        n.data = picture(n, phase)
        n.large, n.small, n.relation = L.HDF5Data(
            source=data.objects(phase), batch_size=data.BATCHES[phase], ntop=len(HEADS)
        )
feature = trunk(n, n.data)
for head, classes in HEADS.items():
    n[f"{head}_score"] = L.InnerProduct(feature, num_output=classes, weight_filler="xavier")
    n[f"{head}_loss"] = L.SoftmaxWithLoss(n[f"{head}_score"], n[head])
    with n.phase("TEST"):
        n[f"{head}_accuracy"] = L.Accuracy(n[f"{head}_score"], n[head])

solver = SolverSpec(
    net=n,
    type="Adam",
    base_lr=0.001,
    momentum=0.9,
    momentum2=0.999,
    lr_policy="step",
    stepsize=3000,
    gamma=0.2,
    weight_decay=1e-4,
    max_iter=4000,
    display=400,
    test_iter=data.COUNTS["test"] // data.BATCHES["test"],
    test_interval=1000,
    snapshot_prefix="cnn",
    random_seed=1,
)
