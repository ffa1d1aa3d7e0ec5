"""Makes windows of 28×28 pixels, digits and what is none, as databases: ``python data.py [--train N] [--test N]``."""

import argparse
import sys
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError
from cafx_applications.datasets import mnist
from cafx_applications.running import SMALL, write_database
from cafx_applications.scenes import clutter, resized, scene

HERE = Path(__file__).resolve().parent
COUNTS = {"train": 1500, "test": 200} if SMALL else {"train": 40000, "test": 4000}
WINDOW, NONE = 28, 10
SHARE_OF_NONE = 0.5
SIDES = (25, 32)  # of a digit that counts as one, in a window of 28
SHIFT = 3  # pixels by which it may lie outside of the centre
FAR = (9, 16)  # by which it lies outside where the window counts as none
SCALES = (1.0, 0.8, 0.64, 0.51)  # of a picture; the digits below are between 28 and 55 pixels large in it
PICTURE = 224


def database(phase, count=None):
    """The path of the ``train`` or ``test`` database, made on first use."""
    return write_database(HERE / f"{phase}{'_small' if SMALL else ''}_lmdb", windows(phase, count or COUNTS[phase]))


def windows(phase, count, seed=0):
    """Yield windows and their labels: 0 to 9, or 10 for none."""
    source, rng = mnist(phase), np.random.default_rng([seed, phase == "test"])
    for _ in range(count):
        if rng.random() < SHARE_OF_NONE:
            yield nothing(source, rng), NONE
        else:
            number = int(rng.integers(len(source.labels)))
            shift = rng.integers(-SHIFT, SHIFT + 1, 2)
            window = placed(source.images[number], int(rng.integers(SIDES[0], SIDES[1] + 1)), shift)
            yield np.maximum(window, debris(source, rng)), source.labels[number]


def placed(image, side, shift):
    """A window with a digit of a side, shifted from its centre."""
    canvas = np.zeros((5 * WINDOW, 5 * WINDOW), np.uint8)
    top, left = np.array(shift) + (5 * WINDOW - side) // 2
    canvas[top : top + side, left : left + side] = resized(image, side)
    return canvas[2 * WINDOW : 3 * WINDOW, 2 * WINDOW : 3 * WINDOW].copy()


def debris(source, rng):
    """Pieces of digits, often none of them."""
    return clutter((WINDOW, WINDOW), source, rng, pieces=int(rng.integers(0, 2)), size=8)


def nothing(source, rng):
    """A window without a digit: clutter, a digit at its edge, a digit that is too large, or two halves."""
    image = source.images[rng.integers(len(source.labels))]
    window = clutter((WINDOW, WINDOW), source, rng, pieces=int(rng.integers(0, 4)), size=int(rng.integers(6, 14)))
    kind = rng.integers(4)
    if kind == 0:
        return window
    if kind == 1:
        return np.maximum(window, placed(image, int(rng.integers(44, 64)), rng.integers(-14, 15, 2)))
    distance, sign = rng.integers(FAR[0], FAR[1] + 1), rng.choice((-1, 1))
    across = int(rng.integers(-WINDOW // 2, WINDOW // 2 + 1))
    shift = (distance * sign, across) if rng.random() < 0.5 else (across, distance * sign)
    side = int(rng.integers(20, 44))
    window = np.maximum(window, placed(image, side, shift))
    if kind == 3:
        other = source.images[rng.integers(len(source.labels))]
        window = np.maximum(window, placed(other, side, [-value for value in shift]))
    return window


def pictures(count, seed):
    """Yield pictures of 224×224 pixels with three to six digits of several sizes among pieces of digits."""
    source, rng, shape = mnist("test"), np.random.default_rng([seed, 2]), (PICTURE, PICTURE)
    for _ in range(count):
        background = clutter(shape, source, rng, pieces=20, size=8)
        yield scene(source, rng, shape=shape, digits=(3, 6), sides=(28, 54), background=background)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in COUNTS.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N")
    try:
        for name, number in vars(parser.parse_args()).items():
            print(database(name, number))
    except CafxError as error:
        sys.exit(f"error: {error}")
