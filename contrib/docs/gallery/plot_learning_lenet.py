"""
Learning LeNet
==============

A LeNet learns to read handwritten digits, step by step: define the net, look at it before training, take steps by hand,
and see what it has learned.

The data are scikit-learn's 1,797 digits of 8×8 pixels.
"""

# %%
# The data
# --------
#
# A net computes with float32 of shape N×C×H×W. Labels are whole numbers, stored as floats as in Caffe.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.images))
images = (digits.images[order, None] / 16).astype(np.float32)
labels = digits.target[order].astype(np.float32)
TRAINING = 1400

figure, axes = plt.subplots(1, 8, figsize=(8, 1.4))
for axis, image, label in zip(axes, images[:, 0], labels, strict=False):
    axis.imshow(image, cmap="gray_r")
    axis.set(title=f"{label:.0f}", xticks=[], yticks=[])

# %%
# The net
# -------
#
# Each line creates a layer and names its top. The two inputs are filled by hand below; a ``Data`` layer would read
# them from a database instead.

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

BATCH = 50

n = NetSpec("LeNet")
n.data = L.Input(shape=[BATCH, 1, 8, 8])
n.label = L.Input(shape=[BATCH])
n.conv1 = L.Convolution(n.data, num_output=20, kernel_size=3, pad=1, weight_filler="xavier")
n.pool1 = L.Pooling(n.conv1, pool="MAX", kernel_size=2, stride=2)
n.conv2 = L.Convolution(n.pool1, num_output=50, kernel_size=3, pad=1, weight_filler="xavier")
n.pool2 = L.Pooling(n.conv2, pool="MAX", kernel_size=2, stride=2)
n.ip1 = L.InnerProduct(n.pool2, num_output=100, weight_filler="xavier")
n.relu1 = L.ReLU(n.ip1, in_place=True)
n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler="xavier")
n.accuracy = L.Accuracy(n.score, n.label)
n.loss = L.SoftmaxWithLoss(n.score, n.label)
print(n.to_proto())

# %%
# The solver
# ----------

from cafx.kernel import Solver

spec = SolverSpec(net=n, base_lr=0.05, lr_policy="fixed", momentum=0.9, weight_decay=5e-4, max_iter=300, random_seed=1)
solver = Solver(spec)
print(solver.net.summary())

# %%
# Before training, the loss is about log 10 = 2.3: the net guesses.


def feed(net, first):
    """Fill the inputs with a batch, beginning at image number ``first``."""
    net.blobs["data"].set_data(images[first : first + BATCH])
    net.blobs["label"].set_data(labels[first : first + BATCH])


feed(solver.net, 0)
print(f"loss {float(solver.net.forward()['loss']):.2f}")

# %%
# Training
# --------
#
# ``step(1)`` runs the forward pass, the backward pass and the update once.

losses, accuracies = [], []
for iteration in range(spec.max_iter):
    feed(solver.net, iteration * BATCH % TRAINING)
    solver.step(1)
    losses.append(solver.losses[-1])
    if iteration % 10 == 0:
        found = []
        for first in range(TRAINING, len(images) - BATCH, BATCH):
            feed(solver.net, first)
            found.append(float(solver.net.forward()["accuracy"]))
        accuracies.append(np.mean(found))

figure, axis = plt.subplots(figsize=(6, 3.5))
axis.plot(losses, label="training loss")
axis.set(xlabel="iteration", ylabel="loss")
other = axis.twinx()
other.plot(range(0, spec.max_iter, 10), accuracies, "C1", label="accuracy on held-out digits")
other.set(ylabel="accuracy", ylim=(0, 1))
figure.legend(loc="center right", bbox_to_anchor=(0.88, 0.5))
print(f"accuracy {accuracies[-1]:.3f}")

# %%
# What it has learned
# -------------------
#
# The 20 filters of the first layer, and how the net's answer for one digit has become certain.

weights = solver.net.params["conv1"][0].data
figure, axes = plt.subplots(2, 10, figsize=(8, 1.8))
for axis, kernel in zip(axes.flat, weights[:, 0], strict=True):
    axis.imshow(kernel, cmap="gray")
    axis.axis("off")

# %%

feed(solver.net, TRAINING)
solver.net.forward()
score = solver.net.blobs["score"].data[0]
probability = np.exp(score - score.max())
probability /= probability.sum()

figure, (left, right) = plt.subplots(1, 2, figsize=(6, 2.4), width_ratios=(1, 2))
left.imshow(images[TRAINING, 0], cmap="gray_r")
left.axis("off")
right.bar(range(10), probability)
right.set(xlabel="digit", ylabel="probability", xticks=range(10))
