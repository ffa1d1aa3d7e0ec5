"""Plots a trained net's embedding of the test digits: ``python plot_embedding.py WEIGHTS OUT.png``."""

import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import siamese_data as data
from net import PIXEL_SCALE, TEST_BATCH, embedding

from cafx.kernel import Net, Phase

NEIGHBOURS = 5


def embedded(weights):
    """The embeddings and the labels of the test digits."""
    images, labels = data.digits("test")
    net = Net(embedding.to_proto(), Phase.TEST, weights=weights)
    batches = images.reshape(-1, TEST_BATCH, 1, *images.shape[1:]) * np.float32(PIXEL_SCALE)
    return np.concatenate([net.forward(data=batch)["feat"] for batch in batches]), labels


def agreement(points, labels):
    """The accuracy of classifying each digit by its five nearest neighbours."""
    squares = (points**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * points @ points.T
    np.fill_diagonal(distances, np.inf)
    nearest = labels[np.argpartition(distances, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]]
    votes = (nearest[:, :, None] == np.arange(10)).sum(axis=1)
    return float((votes.argmax(axis=1) == labels).mean())


if __name__ == "__main__":
    points, labels = embedded(sys.argv[1])
    for digit in range(10):
        plt.scatter(*points[labels == digit].T, s=2, label=str(digit))
    plt.legend(markerscale=5, loc="center left", bbox_to_anchor=(1, 0.5))
    plt.axis("equal")
    plt.savefig(sys.argv[2], dpi=120, bbox_inches="tight")
    print(f"accuracy by nearest neighbours: {agreement(points, labels):.4f}")
