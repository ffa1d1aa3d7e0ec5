"""
Fine-tuning
===========

What a net has learned for one task helps with another for which there are few examples. A net that tells the ten digits
apart learns from 30 images whether a digit is even; the same net with random parameters learns less from them.
"""

# %%
# Two tasks
# ---------

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L
from cafx.kernel import Solver

digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.images))
images = (digits.images[order, None] / 16).astype(np.float32)
labels = {"digit": digits.target[order], "parity": digits.target[order] % 2}
CLASSES = {"digit": 10, "parity": 2}
FEW, BATCH = 30, 30
many, few, held_out = np.arange(1000), np.arange(1000, 1000 + FEW), np.arange(1000 + FEW, len(images))

# %%
# One net, two last layers
# ------------------------
#
# The last layer is called after the task. Weights are copied by name: ``conv`` and ``ip`` are, ``score_parity`` is not,
# and starts from its filler. Copied layers have a tenth of the learning rate (``lr_mult``).


def net(task, rate):
    """The net of a task; all layers but the last have ``lr_mult: rate``."""
    slow = [dict(lr_mult=rate), dict(lr_mult=rate)]
    n = NetSpec(task)
    n.data = L.Input(shape=[BATCH, 1, 8, 8])
    n.label = L.Input(shape=[BATCH])
    n.conv = L.Convolution(n.data, num_output=32, kernel_size=3, weight_filler="xavier", param=slow)
    n.pool = L.Pooling(n.conv, pool="MAX", kernel_size=2, stride=2)
    n.ip = L.InnerProduct(n.pool, num_output=64, weight_filler="xavier", param=slow)
    n.relu = L.ReLU(n.ip, in_place=True)
    n[f"score_{task}"] = score = L.InnerProduct(n.relu, num_output=CLASSES[task], weight_filler="xavier")
    n.accuracy = L.Accuracy(score, n.label)
    n.loss = L.SoftmaxWithLoss(score, n.label)
    return n


def solver_of(task, rate, max_iter):
    """The solver of a task."""
    return Solver(
        SolverSpec(net=net(task, rate), base_lr=0.02, lr_policy="fixed", momentum=0.9, max_iter=max_iter, random_seed=3)
    )


def feed(solver, chosen):
    """Fill the inputs with some digits."""
    task = solver.net.name
    solver.net.blobs["data"].set_data(images[chosen])
    solver.net.blobs["label"].set_data(labels[task][chosen])


def train(solver, among, test):
    """Train on some digits; the accuracy on others, every tenth iteration."""
    rng, accuracies = np.random.default_rng(0), []
    for iteration in range(solver.options.max_iter):
        feed(solver, rng.choice(among, BATCH))
        solver.step(1)
        if iteration % 10 == 0:
            found = []
            for first in range(0, len(test) - BATCH, BATCH):
                feed(solver, test[first : first + BATCH])
                found.append(float(solver.net.forward()["accuracy"]))
            accuracies.append(np.mean(found))
    return accuracies


# %%
# Pre-training
# ------------

weights = Path(tempfile.mkdtemp()) / "digit.caffemodel"
first = solver_of("digit", 1, 300)
print(f"ten digits: accuracy {train(first, many, held_out)[-1]:.3f}")
first.net.save(weights)

# %%
# With and without
# ----------------

tuned, scratch = solver_of("parity", 0.1, 100), solver_of("parity", 1, 100)
report = tuned.net.copy_from(weights)
print("copied:", report.filled, "new:", report.untouched)
curves = {"fine-tuned": train(tuned, few, held_out), "from scratch": train(scratch, few, held_out)}

figure, axis = plt.subplots(figsize=(6, 3.4))
for label, values in curves.items():
    axis.plot(range(0, 100, 10), values, label=label)
    print(f"{label}: {values[-1]:.3f}")
axis.set(xlabel="iteration", ylabel=f"accuracy on {len(held_out)} held-out digits")
axis.legend()
