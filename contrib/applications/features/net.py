"""A linear support vector machine on SqueezeNet's features of CIFAR-10: ``cafx train net.py``."""

import data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

BATCH, TEST_BATCH = 100, 100

n = NetSpec("svm")
for phase, batch in (("TRAIN", BATCH), ("TEST", TEST_BATCH)):
    with n.phase(phase):
        n.feature, n.label = L.HDF5Data(
            source=data.table(phase.lower()), batch_size=batch, shuffle=phase == "TRAIN", ntop=2
        )
n.score = L.InnerProduct(n.feature, num_output=data.KINDS)
with n.phase("TEST"):
    n.accuracy = L.Accuracy(n.score, n.label)
n.loss = L.HingeLoss(n.score, n.label, norm="L2")

solver = SolverSpec(
    net=n,
    base_lr=0.001,
    lr_policy="poly",
    power=1,
    momentum=0.9,
    weight_decay=0.05,
    max_iter=1000,
    display=200,
    test_iter=10,
    test_interval=500,
    snapshot_prefix="svm",
    random_seed=1,
)
