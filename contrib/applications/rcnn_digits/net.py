"""The net of ``pretrain.py`` fine-tuned on windows, and the R-CNN made of it: ``cafx train net.py --weights FILE``."""

import data
from data import CROP, MEAN, PAD, SCALE
from pretrain import trunk

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

CLASSES = 10
BATCH = 64


def softmax(batch):
    """The fine-tuned net, to be used: windows in, probabilities of the background and the digits out."""
    net = NetSpec("softmax")
    net.data = L.Input(shape=[batch, 3, CROP, CROP])
    net.score = L.InnerProduct(trunk(net, net.data), num_output=CLASSES + 1)
    net.prob = L.Softmax(net.score)
    return net


def rcnn(batch):
    """The R-CNN: the support vector machine of each class, and how its boxes move, as two InnerProducts."""
    net = NetSpec("rcnn")
    net.data = L.Input(shape=[batch, 3, CROP, CROP])
    net.fc_rcnn = L.InnerProduct(trunk(net, net.data), num_output=CLASSES)
    net.offsets = L.InnerProduct(net.relu3, num_output=4 * CLASSES)
    return net


n = NetSpec("windows")
for phase in ("TRAIN", "TEST"):
    place = data.folder(phase.lower())
    with n.phase(phase):
        n.data, n.label = L.WindowData(
            ntop=2,
            source=f"{place}/windows.txt",
            root_folder=f"{place}/",
            batch_size=BATCH,
            fg_threshold=0.5,
            bg_threshold=0.5,
            fg_fraction=0.5,
            context_pad=PAD,
            scale=SCALE,
            cache_images=True,
            transform_param={"crop_size": CROP, "mean_value": [MEAN] * 3},
        )
features = trunk(n, n.data)
n.score = L.InnerProduct(features, num_output=CLASSES + 1, weight_filler="xavier")
with n.phase("TEST"):
    n.accuracy = L.Accuracy(n.score, n.label)
n.loss = L.SoftmaxWithLoss(n.score, n.label)

solver = SolverSpec(
    net=n,
    base_lr=0.01,
    lr_policy="step",
    stepsize=600,
    gamma=0.1,
    momentum=0.9,
    weight_decay=5e-4,
    max_iter=800,
    display=200,
    test_iter=20,
    test_interval=400,
    snapshot_prefix="windows",
    random_seed=1,
)
