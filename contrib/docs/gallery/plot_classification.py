"""
Classifying images
==================

A trained net is two files: a prototxt with its layers, and a caffemodel with its parameters. Here both are written
first, and then used as those of any model: load, set the size of the batch, give it images, look inside.
"""

# %%
# A trained model
# ---------------
#
# A small net learns scikit-learn's digits; ``plot_learning_lenet`` explains how. What matters is that it ends as two
# files.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L
from cafx.kernel import TEST, Net, Solver

folder = Path(tempfile.mkdtemp())
digits = load_digits()
images = (digits.images[:, None] / 16).astype(np.float32)
BATCH = 64


def scored(n):
    """The layers from ``data`` to ``score``."""
    n.conv = L.Convolution(n.data, num_output=16, kernel_size=3, weight_filler="xavier")
    n.pool = L.Pooling(n.conv, pool="MAX", kernel_size=2, stride=2)
    n.ip = L.InnerProduct(n.pool, num_output=64, weight_filler="xavier")
    n.relu = L.ReLU(n.ip, in_place=True)
    n.score = L.InnerProduct(n.relu, num_output=10, weight_filler="xavier")


training = NetSpec("digits")
training.data = L.Input(shape=[BATCH, 1, 8, 8])
training.label = L.Input(shape=[BATCH])
scored(training)
training.loss = L.SoftmaxWithLoss(training.score, training.label)
solver = Solver(SolverSpec(net=training, base_lr=0.05, lr_policy="fixed", momentum=0.9, max_iter=250, random_seed=1))
for iteration in range(250):
    chosen = np.arange(iteration * BATCH, (iteration + 1) * BATCH) % 1500
    solver.net.blobs["data"].set_data(images[chosen])
    solver.net.blobs["label"].set_data(digits.target[chosen])
    solver.step(1)
solver.net.save(folder / "digits.caffemodel")

deploy = NetSpec("digits")
deploy.data = L.Input(shape=[1, 1, 8, 8])
scored(deploy)
deploy.prob = L.Softmax(deploy.score)
(folder / "deploy.prototxt").write_text(str(deploy.to_proto()))

# %%
# Load it
# -------
#
# From here on, only the two files count. In phase TEST, activations share memory; ``keep="all"`` keeps every blob, so
# that it can be looked at.

net = Net(str(folder / "deploy.prototxt"), TEST, weights=str(folder / "digits.caffemodel"), keep="all")
net

# %%
# One image
# ---------

image = images[1700]
answer = net.forward(data=image[None])["prob"][0]
for digit in np.argsort(-answer)[:3]:
    print(f"{digit}: {answer[digit]:.4f}")

# %%
# Many images
# -----------
#
# Inputs of another shape reshape the net.

many = images[1500:]
answers = net.forward(data=many)["prob"].argmax(axis=1)
print(f"accuracy on {len(many)} held-out digits: {np.mean(answers == digits.target[1500:]):.3f}")

# %%
# Inside
# ------
#
# Blobs and parameters are arrays.

for name, blob in net.blobs.items():
    print(f"{name:8}{blob.shape}")
for name, parameters in net.params.items():
    print(f"{name:8}{[blob.shape for blob in parameters]}")

# %%
# The 16 maps of the first layer, for the image above:

net.forward(data=image[None])
maps = net.blobs["conv"].data[0]
figure, axes = plt.subplots(2, 9, figsize=(8, 1.9))
axes[0, 0].imshow(image[0], cmap="gray_r")
axes[0, 0].set_title("image", fontsize=8)
for axis, each in zip([*axes[0, 1:], *axes[1, 1:]], maps, strict=True):
    axis.imshow(each, cmap="viridis")
for axis in axes.flat:
    axis.axis("off")

# %%
# The same from the command line
# ------------------------------
#
# .. code-block:: console
#
#     $ cafx classify deploy.prototxt digits.caffemodel image.png --labels labels.txt
#
# prints the five most probable classes, and the preprocessing that it applied: mean, scale, channel order and size
# must be those of the training.
