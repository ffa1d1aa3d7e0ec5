"""
Detection with SSD's layers
===========================

A small single-shot detector finds digits on a canvas. Its layers are plugins of the distribution ``cafx-ssd``: prior
boxes, a loss that matches them with the true boxes, and decoding with non-maximum suppression.

The scenes are made here, so the truth is known.
"""

# %%
# Scenes
# ------
#
# One to three digits at random places. A true box is a row: image, class, corners (relative to the side), difficult.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L
from cafx.kernel import TEST, Net, Solver

digits = load_digits()
rng = np.random.default_rng(0)
SIDE, SIZE, CELLS, BATCH, MOST = 48, 16, 6, 16, 3


def scene():
    """An image, and its true boxes."""
    canvas, boxes = rng.normal(0.15, 0.05, (SIDE, SIDE)), []
    for _ in range(rng.integers(1, MOST + 1)):
        x, y = rng.integers(0, SIDE - SIZE, 2)
        if any(abs(x - other[0]) < SIZE and abs(y - other[1]) < SIZE for other in boxes):
            continue
        chosen = rng.integers(len(digits.images))
        digit = np.kron(digits.images[chosen] / 16, np.ones((2, 2)))
        canvas[y : y + SIZE, x : x + SIZE] = np.maximum(canvas[y : y + SIZE, x : x + SIZE], digit)
        boxes.append((x, y))
    return canvas, boxes


def batch(count):
    """Images, and the rows of their true boxes."""
    images, rows = np.empty((count, 1, SIDE, SIDE), np.float32), []
    for index in range(count):
        images[index, 0], boxes = scene()
        rows += [[index, 1, 0, x / SIDE, y / SIDE, (x + SIZE) / SIDE, (y + SIZE) / SIDE, 0] for x, y in boxes]
    return images, np.array(rows, np.float32)[None, None]


# %%
# The detector
# ------------
#
# On a map of 6×6 cells, each cell has one prior box of 16 pixels. For each prior, a convolution predicts the offsets of
# a box, another one the scores of background and digit.


def predictions(n):
    """From ``data`` to locations, scores and priors."""
    top = n.data
    for index, outputs in enumerate((16, 32, 64)):
        n[f"conv{index}"] = L.Convolution(top, num_output=outputs, kernel_size=3, pad=1, weight_filler="xavier")
        n[f"relu{index}"] = L.ReLU(n[f"conv{index}"], in_place=True)
        n[f"pool{index}"] = top = L.Pooling(n[f"relu{index}"], pool="MAX", kernel_size=2, stride=2)
    for name, outputs in (("loc", 4), ("conf", 2)):
        map_ = L.Convolution(top, num_output=outputs, kernel_size=3, pad=1, weight_filler="xavier")
        n[f"{name}_map"] = map_
        n[f"{name}_perm"] = L.Permute(map_, order=[0, 2, 3, 1])
        n[name] = L.Flatten(n[f"{name}_perm"])
    n.prior = L.PriorBox(top, n.data, min_size=[SIZE], variance=[0.1, 0.1, 0.2, 0.2], clip=False)


n = NetSpec("detector")
n.data = L.Input(shape=[BATCH, 1, SIDE, SIDE])
n.label = L.Input(shape=[1, 1, 1, 8])
predictions(n)
n.loss = L.MultiBoxLoss(
    n.loc, n.conf, n.prior, n.label,
    num_classes=2, overlap_threshold=0.4, neg_pos_ratio=3, neg_overlap=0.4, loss_param=dict(normalization="VALID"),
    propagate_down=[True, True, False, False],
)  # fmt: skip
solver = Solver(SolverSpec(net=n, type="Adam", base_lr=0.002, lr_policy="fixed", max_iter=150, random_seed=1))
losses = []
for _ in range(150):
    images, rows = batch(BATCH)
    solver.net.blobs["data"].set_data(images)
    solver.net.blobs["label"].reshape(*rows.shape)
    solver.net.blobs["label"].set_data(rows)
    solver.step(1)
    losses.append(solver.losses[-1])

figure, axis = plt.subplots(figsize=(6, 3))
axis.plot(losses)
axis.set(xlabel="iteration", ylabel="MultiBoxLoss")
print(f"loss {np.mean(losses[:10]):.2f} -> {np.mean(losses[-10:]):.2f}")

# %%
# Detections
# ----------
#
# ``DetectionOutput`` decodes the boxes and keeps the best of those that overlap. Each row is image, class, score and
# corners.

d = NetSpec("deploy")
d.data = L.Input(shape=[4, 1, SIDE, SIDE])
predictions(d)
d.conf_shaped = L.Reshape(d.conf, shape=[0, -1, 2])
d.conf_prob = L.Softmax(d.conf_shaped, axis=2)
d.conf_flat = L.Flatten(d.conf_prob)
d.found = L.DetectionOutput(
    d.loc, d.conf_flat, d.prior, num_classes=2, nms_param=dict(nms_threshold=0.3), keep_top_k=10,
    confidence_threshold=0.5,
)  # fmt: skip
detector = Net(d, TEST)
detector.copy_from(solver.net)
images, rows = batch(4)
found = detector.forward(data=images)["found"].reshape(-1, 7)

figure, axes = plt.subplots(1, 4, figsize=(9, 2.5))
for index, axis in enumerate(axes):
    axis.imshow(images[index, 0], cmap="gray_r", extent=(0, 1, 1, 0))
    axis.set(xticks=[], yticks=[])
    for row in rows[0, 0][rows[0, 0, :, 0] == index]:
        axis.add_patch(plt.Rectangle(row[3:5], *(row[5:7] - row[3:5]), fill=False, color="C2", lw=2))
    for row in found[found[:, 0] == index]:
        axis.add_patch(plt.Rectangle(row[3:5], *(row[5:7] - row[3:5]), fill=False, color="C1", ls="--", lw=2))
        axis.text(*row[3:5], f"{row[2]:.2f}", color="C1", fontsize=8)
print(f"{rows.shape[2]} digits, {len(found)} detections")
