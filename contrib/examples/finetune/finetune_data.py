"""Converts MNIST to LMDBs of two tasks: digits 0 to 4 for training, a few of 5 to 9 for fine-tuning."""

import os
import sys
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "mnist"))

import mnist_data  # noqa: E402 - needs the path above

FIRST = {"base": 0, "new": 5}
CLASSES = 5
FEW = 125


def database(task, phase):
    """The path of the ``train`` or ``test`` database of a task, created on first use."""
    folder = HERE / f"{task}_{phase}_lmdb"
    if not folder.exists():
        images, labels = mnist_data.digits(phase)
        chosen = np.flatnonzero(labels // CLASSES == FIRST[task] // CLASSES)
        chosen = chosen[:FEW] if (task, phase) == ("new", "train") else chosen
        mnist_data.write_database(folder, images[chosen], labels[chosen] - FIRST[task])
    return os.path.relpath(folder)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ["CAFX_DATA"] = sys.argv[1]
    try:
        for task in FIRST:
            print(database(task, "train"), database(task, "test"))
    except CafxError as error:
        sys.exit(f"error: {error}")
