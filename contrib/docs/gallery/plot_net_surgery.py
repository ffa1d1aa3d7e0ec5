"""
Net surgery
===========

Parameters are arrays that you can read, change and save. A classifier of small images becomes a detector of any size:
its fully connected layer is turned into a convolution with the same numbers.
"""

# %%
# A classifier
# ------------
#
# It learns to tell digits in images of 8×8 pixels, in a second.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L
from cafx.kernel import TEST, Net, Solver

digits = load_digits()
images = (digits.images[:, None] / 16).astype(np.float32)
rng = np.random.default_rng(0)
BATCH, BACKGROUND, CLASSES = 64, 10, 11


def batch():
    """Digits, and pieces of pairs of digits as an eleventh class: what lies between two digits is none."""
    chosen = rng.integers(0, 1500, (BATCH, 2))
    data, label = images[chosen[:, 0]].copy(), digits.target[chosen[:, 0]].copy()
    for index in np.flatnonzero(rng.random(BATCH) < 0.4):
        shift = rng.integers(3, 6)
        data[index, 0] = np.hstack([images[chosen[index, 0], 0][:, shift:], images[chosen[index, 1], 0][:, :shift]])
        label[index] = BACKGROUND
    return data, label


n = NetSpec("classifier")
n.data = L.Input(shape=[BATCH, 1, 8, 8])
n.label = L.Input(shape=[BATCH])
n.conv = L.Convolution(n.data, num_output=24, kernel_size=3, weight_filler="xavier")
n.relu = L.ReLU(n.conv, in_place=True)
n.ip = L.InnerProduct(n.relu, num_output=64, weight_filler="xavier")
n.relu_ip = L.ReLU(n.ip, in_place=True)
n.score = L.InnerProduct(n.relu_ip, num_output=CLASSES, weight_filler="xavier")
n.loss = L.SoftmaxWithLoss(n.score, n.label)
solver = Solver(SolverSpec(net=n, base_lr=0.03, lr_policy="fixed", momentum=0.9, max_iter=600, random_seed=1))
for _ in range(600):
    data, label = batch()
    solver.net.blobs["data"].set_data(data)
    solver.net.blobs["label"].set_data(label)
    solver.step(1)
print(f"loss {solver.losses[-1]:.3f}")

# %%
# The same numbers, as convolutions
# ---------------------------------
#
# ``ip`` reads 24 maps of 6×6: its 64 rows of 864 weights are 64 kernels of 24×6×6, in the same order. Layers with new
# names are filled by hand; those with the same name and shape are copied by name.

WIDE = 8 * 10
f = NetSpec("detector")
f.data = L.Input(shape=[1, 1, 8, WIDE])
f.conv = L.Convolution(f.data, num_output=24, kernel_size=3)
f.relu = L.ReLU(f.conv, in_place=True)
f.ip_conv = L.Convolution(f.relu, num_output=64, kernel_size=6)
f.relu_ip = L.ReLU(f.ip_conv, in_place=True)
f.score_conv = L.Convolution(f.relu_ip, num_output=CLASSES, kernel_size=1)
f.prob = L.Softmax(f.score_conv)

detector = Net(f, TEST)
detector.copy_from(solver.net)
for old, new in (("ip", "ip_conv"), ("score", "score_conv")):
    for source, target in zip(solver.net.params[old], detector.params[new], strict=True):
        target.set_data(source.data)
        print(f"{old} {source.shape} -> {new} {target.shape}")

# %%
# One pass over a wide image
# --------------------------
#
# Ten digits that training has not seen, side by side: the net answers for each of 73 positions in one pass.

shown = rng.integers(1500, len(images), 10)
wide = np.hstack(list(images[shown, 0]))[None, None]
prob = detector.forward(data=wide)["prob"][0, :, 0]

figure, (top, middle) = plt.subplots(2, 1, figsize=(8, 3.6), sharex=True, height_ratios=(1, 2))
top.imshow(wide[0, 0], cmap="gray_r", aspect="auto")
top.set(yticks=[], title="image")
middle.imshow(prob, aspect="auto", extent=(4, WIDE - 4, CLASSES - 0.5, -0.5), cmap="viridis")
middle.set(yticks=range(CLASSES), yticklabels=[*range(10), "none"], xlabel="centre of the window", ylabel="class")

# %%
# The answers at the true positions, against those of the classifier for each digit alone:

found = prob[:, ::8].argmax(axis=0)
print("shown:", digits.target[shown])
print("found:", found)
