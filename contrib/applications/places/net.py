"""One trunk with three heads that tell type, category and attributes of a scene: ``cafx train net.py``."""

import data
from scenery import ATTRIBUTES, CATEGORIES, SIDE, TYPES

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

MEAN, SCALE = 128, 1 / 64
BATCH, TEST_BATCH = 50, 100
MAPS = ((24, 5, 2), (32, 3, 1), (48, 3, 1))  # outputs, size and stride of each convolution


def heads(net, bottom):
    """Convolutions and poolings, features that all heads share, and the scores of each."""
    for number, (outputs, size, stride) in enumerate(MAPS, 1):
        maps = L.Convolution(
            bottom, num_output=outputs, kernel_size=size, stride=stride, pad=size // 2, weight_filler="msra"
        )
        net[f"conv{number}"] = maps
        net[f"pool{number}"] = L.Pooling(maps, pool="MAX", kernel_size=2, stride=2)
        net[f"relu{number}"] = bottom = L.ReLU(net[f"pool{number}"], in_place=True)
    net.fc4 = L.InnerProduct(bottom, num_output=128, weight_filler="msra")
    net.relu4 = L.ReLU(net.fc4, in_place=True)
    net.type_score = L.InnerProduct(net.relu4, num_output=len(TYPES), weight_filler="xavier")
    net.category_score = L.InnerProduct(net.relu4, num_output=len(CATEGORIES), weight_filler="xavier")
    net.attribute_score = L.InnerProduct(net.relu4, num_output=len(ATTRIBUTES), weight_filler="xavier")


def deploy(batch):
    """The net, to be used: pictures in; probabilities of types, of categories, and of each attribute out."""
    net = NetSpec("places")
    net.data = L.Input(shape=[batch, 3, SIDE, SIDE])
    heads(net, net.data)
    net.type = L.Softmax(net.type_score)
    net.category = L.Softmax(net.category_score)
    net.attributes = L.Sigmoid(net.attribute_score)
    return net


def add_data(net, phase, batch):
    """Pictures with categories, and in lock-step with them attributes with types."""
    images, marks = data.databases(phase.lower())
    transform = {"mean_value": [MEAN], "scale": SCALE, "mirror": phase == "TRAIN"}
    options = {"backend": "LMDB", "batch_size": batch, "ntop": 2}
    with net.phase(phase):
        net.data, net.category_label = L.Data(source=images, transform_param=transform, **options)
        net.marks, net.type_label = L.Data(source=marks, **options)


n = NetSpec("places")
add_data(n, "TRAIN", BATCH)
add_data(n, "TEST", TEST_BATCH)
heads(n, n.data)
n.attribute_label = L.Flatten(n.marks)
with n.phase("TEST"):
    n.type_accuracy = L.Accuracy(n.type_score, n.type_label)
    n.category_accuracy = L.Accuracy(n.category_score, n.category_label)
n.type_loss = L.SoftmaxWithLoss(n.type_score, n.type_label)
n.category_loss = L.SoftmaxWithLoss(n.category_score, n.category_label)
n.attribute_loss = L.SigmoidCrossEntropyLoss(n.attribute_score, n.attribute_label, loss_weight=0.5)

solver = SolverSpec(
    net=n,
    base_lr=0.01,
    lr_policy="step",
    stepsize=900,
    gamma=0.1,
    momentum=0.9,
    weight_decay=5e-4,
    max_iter=1200,
    display=200,
    test_iter=5,
    test_interval=400,
    snapshot_prefix="places",
    random_seed=1,
)
