"""Makes three databases in the same order: what two cameras see of a digit, and the digit: ``python data.py``."""

import argparse
import sys
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError
from cafx_applications.datasets import mnist
from cafx_applications.running import SMALL, write_database

HERE = Path(__file__).resolve().parent
COUNTS = {"train": 3000, "test": 500} if SMALL else {"train": 20000, "test": 5000}
WHAT = ("left", "right", "whole")
SIDE = 28
HALF = SIDE // 2
NOISE = 80  # standard deviation, in grey levels


def database(what, phase, count=None):
    """The path of a database, made on first use.

    Args:
        what: ``"left"`` or ``"right"``, noisy halves, or ``"whole"``, the digits that they are of.
        phase: ``"train"`` or ``"test"``.
        count: number of digits.
    """
    path = HERE / f"{what}_{phase}{'_small' if SMALL else ''}_lmdb"
    return write_database(path, views(what, phase, count or COUNTS[phase]))


def views(what, phase, count):
    """Yield one view of each digit, and the label; the order is the same for all views."""
    source, rng = mnist(phase), np.random.default_rng([WHAT.index(what), phase == "test"])
    columns = {"left": slice(0, HALF), "right": slice(HALF, SIDE), "whole": slice(0, SIDE)}[what]
    for image, label in zip(source.images[:count], source.labels[:count], strict=True):
        part = image[:, columns]
        yield part if what == "whole" else noisy(part, rng), label


def noisy(image, rng):
    """The image with normal noise."""
    return np.clip(image + NOISE * rng.standard_normal(image.shape), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in COUNTS.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N")
    try:
        for name, number in vars(parser.parse_args()).items():
            print(*(database(what, name, number) for what in WHAT))
    except CafxError as error:
        sys.exit(f"error: {error}")
