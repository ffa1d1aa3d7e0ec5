"""Logistic regression on vectors in HDF5 files: ``cafx train net.py``."""

import os

import regression_data as data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

BATCH = 10

n = NetSpec("LogisticRegressionNet")
for phase in ("TRAIN", "TEST"):
    with n.phase(phase):
        n.data, n.label = L.HDF5Data(source=data.file_list(phase.lower()), batch_size=BATCH, ntop=2)
n.fc1 = L.InnerProduct(
    n.data,
    num_output=2,
    param=[{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0}],
    weight_filler={"type": "xavier"},
    bias_filler={"type": "constant"},
)
n.loss = L.SoftmaxWithLoss(n.fc1, n.label)
with n.phase("TEST"):
    n.accuracy = L.Accuracy(n.fc1, n.label)

solver = SolverSpec(
    net=n,
    base_lr=0.01,
    lr_policy="step",
    gamma=0.1,
    stepsize=5000,
    momentum=0.9,
    weight_decay=0.0005,
    max_iter=10000,
    display=1000,
    average_loss=100,
    test_iter=250,
    test_interval=1000,
    snapshot=10000,
    snapshot_prefix=os.path.relpath(data.HERE / "regression"),
    random_seed=1,
)
