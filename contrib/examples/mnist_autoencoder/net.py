"""A deep autoencoder of MNIST: ``cafx train net.py [--data FOLDER]``; see showdown.py for three solvers."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "mnist"))

import mnist_data as data  # noqa: E402 - needs the path above

from cafx.dsl import NetSpec, SolverSpec  # noqa: E402
from cafx.dsl import layers as L  # noqa: E402

BATCH = 100
PIXEL_SCALE = 0.0039215684
ENCODED, DECODED = (1000, 500, 250, 30), (250, 500, 1000, 784)
PARAM = [{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 1, "decay_mult": 0}]
SPARSE = {"type": "gaussian", "std": 1, "sparse": 15}
SOLVERS = {
    "SGD": {"type": "SGD", "lr_policy": "step", "gamma": 0.1, "stepsize": 10000, "momentum": 0.9},
    "AdaGrad": {"type": "AdaGrad", "lr_policy": "fixed"},
    "Nesterov": {"type": "Nesterov", "lr_policy": "step", "gamma": 0.1, "stepsize": 10000, "momentum": 0.95},
}


def dense(bottom, outputs):
    """A fully connected layer with sparse initialisation: 15 non-zero weights per unit."""
    return L.InnerProduct(
        bottom, num_output=outputs, param=PARAM, weight_filler=SPARSE, bias_filler={"type": "constant"}
    )


def stacked(net, prefix, bottom, widths):
    """Fully connected layers of these widths, with a sigmoid after all but the last."""
    for number, width in enumerate(widths, 1):
        net[f"{prefix}{number}"] = bottom = dense(bottom, width)
        if number < len(widths):
            net[f"{prefix}{number}neuron"] = bottom = L.Sigmoid(bottom)
    return bottom


n = NetSpec("MNISTAutoencoder")
for phase in ("TRAIN", "TEST"):
    with n.phase(phase):
        n.data = L.Data(
            source=data.database(phase.lower()),
            backend="LMDB",
            batch_size=BATCH,
            transform_param={"scale": PIXEL_SCALE},
        )
n.flatdata = L.Flatten(n.data)
decoded = stacked(n, "decode", stacked(n, "encode", n.data, ENCODED), DECODED)
n.cross_entropy_loss = L.SigmoidCrossEntropyLoss(decoded, n.flatdata, loss_weight=1)
n.reconstruction = L.Sigmoid(decoded)
n.l2_error = L.EuclideanLoss(n.reconstruction, n.flatdata, loss_weight=0)


def trained_by(name, max_iter=65000):
    """The solver with the options ``SOLVERS[name]``."""
    return SolverSpec(
        net=n,
        base_lr=0.01,
        weight_decay=0.0005,
        max_iter=max_iter,
        display=100,
        average_loss=20,
        test_iter=max(1, min(100, max_iter)),
        test_interval=max(1, min(5000, max_iter // 4)),
        snapshot=max(1, min(10000, max_iter)),
        snapshot_prefix=os.path.relpath(HERE / f"autoencoder_{name.lower()}"),
        random_seed=1,
        **SOLVERS[name],
    )


solver = trained_by("SGD")
