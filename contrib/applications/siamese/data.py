"""Makes databases of pairs of digits, images of two channels: ``python data.py [--train N] [--test N]``."""

import argparse
import sys
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError
from cafx_applications.datasets import mnist
from cafx_applications.running import SMALL, write_database

HERE = Path(__file__).resolve().parent
COUNTS = {"train": 6000, "test": 500} if SMALL else {"train": 60000, "test": 5000}
SEED = 1


def database(phase, count=None):
    """The path of the ``train`` or ``test`` database of pairs, made on first use."""
    return write_database(HERE / f"{phase}{'_small' if SMALL else ''}_lmdb", pairs(phase, count or COUNTS[phase]))


def pairs(phase, count):
    """Yield pairs, 2×28×28 bytes, and 1 if both show the same digit, else 0; every second pair does."""
    source, rng = mnist(phase), np.random.default_rng([SEED, phase == "test"])
    of_digit = [np.flatnonzero(source.labels == digit) for digit in range(10)]
    for number in range(count):
        first, second = rng.integers(len(source.labels), size=2)
        if number % 2:
            second = rng.choice(of_digit[source.labels[first]])
        yield source.images[[first, second]], source.labels[first] == source.labels[second]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in COUNTS.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N")
    try:
        for name, number in vars(parser.parse_args()).items():
            print(database(name, number))
    except CafxError as error:
        sys.exit(f"error: {error}")
