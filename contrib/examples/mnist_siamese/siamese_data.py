"""Converts MNIST to LMDBs of pairs, images of two channels: ``python siamese_data.py [FOLDER]``."""

import os
import sys
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "mnist"))

from mnist_data import digits, write_database  # noqa: E402 - needs the path above

PAIRS = {"train": 60_000, "test": 10_000}
SEED = 1


def database(phase):
    """The path of the database of ``train`` or ``test`` pairs, created on first use.

    The label of a pair is 1 if both images show the same digit, else 0. Every second pair is drawn from
    images of the same digit, the others from all images.
    """
    folder = HERE / f"siamese_{phase}_lmdb"
    if not folder.exists():
        images, labels = digits(phase)
        write_database(folder, *_pairs(images, labels, PAIRS[phase]))
    return os.path.relpath(folder)


def _pairs(images, labels, count):
    rng = np.random.default_rng(SEED)
    first = rng.integers(len(images), size=count)
    second = rng.integers(len(images), size=count)
    for digit in np.unique(labels):
        alike = np.flatnonzero((labels[first] == digit) & (np.arange(count) % 2 == 0))
        second[alike] = rng.choice(np.flatnonzero(labels == digit), len(alike))
    return np.stack([images[first], images[second]], axis=1), labels[first] == labels[second]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ["CAFX_DATA"] = sys.argv[1]
    try:
        for phase in PAIRS:
            print(database(phase))
    except CafxError as error:
        sys.exit(f"error: {error}")
