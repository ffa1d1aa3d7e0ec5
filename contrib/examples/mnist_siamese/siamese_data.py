"""Pairs of MNIST images as LMDBs, two channels an item: ``python siamese_data.py [FOLDER]``."""

import os
import sys
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError, registry
from cafx_lib_feed.datum import datum_bytes

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "mnist"))

import mnist_data  # noqa: E402 - found through the line above

PAIRS = {"train": 60_000, "test": 10_000}
SEED = 1


def digits(phase):
    """Images and labels of ``train`` or ``test``."""
    source, name = mnist_data.source_folder(), mnist_data.NAMES[phase]
    images = mnist_data.read_idx(source / f"{name}-images-idx3-ubyte.gz", mnist_data.IMAGES_MAGIC)
    return images, mnist_data.read_idx(source / f"{name}-labels-idx1-ubyte.gz", mnist_data.LABELS_MAGIC)


def database(phase):
    """The path of the ``train`` or ``test`` pairs, which are made if they are missing.

    Each image meets one drawn at random of all images (label 1 where both show one digit), but
    every other pair is of one digit, so that both kinds are learnt.
    """
    folder = HERE / f"siamese_{phase}_lmdb"
    if not folder.exists():
        images, labels = digits(phase)
        _write(folder, *_pairs(images, labels, PAIRS[phase]))
    return os.path.relpath(folder)


def _pairs(images, labels, count):
    rng = np.random.default_rng(SEED)
    first = rng.integers(len(images), size=count)
    second = rng.integers(len(images), size=count)
    for digit in np.unique(labels):
        alike = np.flatnonzero((labels[first] == digit) & (np.arange(count) % 2 == 0))
        second[alike] = rng.choice(np.flatnonzero(labels == digit), len(alike))
    return np.stack([images[first], images[second]], axis=1), labels[first] == labels[second]


def _write(folder, pairs, alike):
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    with registry().load("database", "LMDB").create(draft) as writer:
        for start in range(0, len(pairs), mnist_data.BATCH):
            batch = zip(pairs[start:], alike[start : start + mnist_data.BATCH], strict=False)
            writer.put([(b"%08d" % i, datum_bytes(pair, int(same))) for i, (pair, same) in enumerate(batch, start)])
    draft.rename(folder)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ["CAFX_DATA"] = sys.argv[1]
    try:
        for made in PAIRS:
            print(database(made))
    except CafxError as error:
        sys.exit(f"error: {error}")
