"""Makes CIFAR-10's databases and mean image: ``python data.py``."""

import os
import sys
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError
from cafx_applications.datasets import cifar10
from cafx_applications.running import SMALL, write_database
from cafx_format_binaryproto import write_binaryproto

HERE = Path(__file__).resolve().parent
ENDING = "_small" if SMALL else ""
LARGEST = {"train": 1000, "test": 500} if SMALL else {"train": 50000, "test": 10000}


def database(phase):
    """The path of the ``train`` or ``test`` database, made on first use."""
    return write_database(HERE / f"{phase}{ENDING}_lmdb", images(phase))


def mean_file():
    """The path of the mean of all training images, made on first use."""
    path = HERE / f"mean{ENDING}.binaryproto"
    if not path.exists():
        mean = cifar10("train").images[: LARGEST["train"]].mean(axis=0, dtype=np.float64)
        write_binaryproto(path, mean.astype(np.float32)[None])
    return os.path.relpath(path)


def images(phase):
    """Yield images and their labels."""
    source = cifar10(phase)
    yield from zip(source.images[: LARGEST[phase]], source.labels, strict=False)


if __name__ == "__main__":
    try:
        print(database("train"), database("test"), mean_file(), sep="\n")
    except CafxError as error:
        sys.exit(f"error: {error}")
