"""MNIST in two tasks, as LMDBs: digits 0 to 4 to learn from, and few of 5 to 9 to fine-tune with."""

import os
import sys
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "mnist"))

import mnist_data  # noqa: E402 - found through the line above

FIRST = {"base": 0, "new": 5}
CLASSES = 5
FEW = 125


def database(task, phase):
    """The path of the database of a task's ``train`` or ``test`` digits, made if it is missing."""
    folder = HERE / f"{task}_{phase}_lmdb"
    if not folder.exists():
        source, name = mnist_data.source_folder(), mnist_data.NAMES[phase]
        images = mnist_data.read_idx(source / f"{name}-images-idx3-ubyte.gz", mnist_data.IMAGES_MAGIC)
        labels = mnist_data.read_idx(source / f"{name}-labels-idx1-ubyte.gz", mnist_data.LABELS_MAGIC)
        chosen = np.flatnonzero(labels // CLASSES == FIRST[task] // CLASSES)
        chosen = chosen[:FEW] if (task, phase) == ("new", "train") else chosen
        mnist_data._write(folder, images[chosen], labels[chosen] - FIRST[task])
    return os.path.relpath(folder)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ["CAFX_DATA"] = sys.argv[1]
    try:
        for task in FIRST:
            print(database(task, "train"), database(task, "test"))
    except CafxError as error:
        sys.exit(f"error: {error}")
