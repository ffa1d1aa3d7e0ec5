"""A deep autoencoder of MNIST, and six solvers: ``cafx train net.py``, ``cafx train net.py --set type=Adam …``."""

import data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

BATCH, TEST_BATCHES = 100, data.COUNTS["test"] // 100
ENCODED, DECODED = (500, 250, 125, 30), (125, 250, 500, 784)
PARAM = [{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 1, "decay_mult": 0}]
SPARSE = {"type": "gaussian", "std": 1, "sparse": 15}
TEST_NETS = {"train": "test-on-train", "test": "test-on-test"}

ITERATIONS, STEP = 4000, 3000
STEPS = {"base_lr": 0.01, "lr_policy": "step", "gamma": 0.1, "stepsize": STEP}
SOLVERS = {
    "SGD": {**STEPS, "momentum": 0.9},
    "Nesterov": {**STEPS, "momentum": 0.95},
    "AdaGrad": {"base_lr": 0.01, "lr_policy": "fixed"},
    "RMSProp": {"base_lr": 0.001, "lr_policy": "fixed", "rms_decay": 0.99},
    "AdaDelta": {"base_lr": 1, "lr_policy": "fixed", "momentum": 0.95, "delta": 1e-8},
    "Adam": {"base_lr": 0.001, "lr_policy": "fixed", "momentum": 0.9, "momentum2": 0.999},
}


def dense(bottom, outputs):
    """A fully connected layer that begins with 15 non-zero weights per input."""
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


def digits(phase):
    """The layer that reads the digits of a phase."""
    return L.Data(source=data.database(phase), backend="LMDB", batch_size=BATCH, transform_param={"scale": 1 / 255})


n = NetSpec("autoencoder")
with n.phase("TRAIN"):
    n.data = digits("train")
for phase, stage in TEST_NETS.items():
    with n.phase("TEST", stage=stage):
        n.data = digits(phase)
n.flatdata = L.Flatten(n.data)
decoded = stacked(n, "decode", stacked(n, "encode", n.data, ENCODED), DECODED)
n.cross_entropy = L.SigmoidCrossEntropyLoss(decoded, n.flatdata, loss_weight=1)
n.reconstruction = L.Sigmoid(decoded)
n.l2_error = L.EuclideanLoss(n.reconstruction, n.flatdata, loss_weight=0)


def trained_by(name):
    """The solver with the options ``SOLVERS[name]``."""
    return SolverSpec(
        net=n,
        type=name,
        weight_decay=0.0005,
        max_iter=ITERATIONS,
        display=500,
        average_loss=20,
        test_state=[{"stage": stage} for stage in TEST_NETS.values()],
        test_iter=[TEST_BATCHES] * len(TEST_NETS),
        test_interval=500,
        snapshot_prefix="autoencoder",
        random_seed=1,
        **SOLVERS[name],
    )


solver = trained_by("SGD")
