"""Makes MNIST's databases: ``python data.py``."""

import sys
from pathlib import Path

from cafx.kernel import CafxError
from cafx_applications.datasets import mnist
from cafx_applications.running import SMALL, write_database

HERE = Path(__file__).resolve().parent
COUNTS = {"train": 500, "test": 100} if SMALL else {"train": 60000, "test": 10000}


def database(phase):
    """The path of the ``train`` or ``test`` database, made on first use."""
    return write_database(HERE / f"{phase}{'_small' if SMALL else ''}_lmdb", digits(phase))


def digits(phase):
    """Yield images and their labels."""
    images, labels = mnist(phase)
    yield from zip(images[: COUNTS[phase]], labels, strict=False)


if __name__ == "__main__":
    try:
        for name in COUNTS:
            print(database(name))
    except CafxError as error:
        sys.exit(f"error: {error}")
