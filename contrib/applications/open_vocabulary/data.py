"""Makes pictures of four-digit numbers, 10,000 classes, as databases, and their is-a tree: ``python data.py``."""

import argparse
import sys
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError
from cafx_applications.datasets import mnist
from cafx_applications.running import SMALL, write_database

HERE = Path(__file__).resolve().parent
DIGITS, SIDE, MARGIN = 4, 20, 4  # MNIST leaves a margin of 4 pixels around a digit
CLASSES = 10**DIGITS
KNOWN = 1000  # classes of the first net, as ImageNet's 1,000 are some of its 21,841
SMUDGED = 0.3  # share of numbers whose end cannot be read
UNKNOWN = "?"
PER_CLASS = {"known": 3, "open": 1} if SMALL else {"known": 40, "open": 16}
TESTED = 400 if SMALL else 2000


def known():
    """The numbers that the first net knows, in order."""
    return np.sort(np.random.default_rng(0).permutation(CLASSES)[:KNOWN])


def database(vocabulary, phase):
    """The path of the ``train`` or ``test`` database of a vocabulary, ``known`` or ``open``, made on first use."""
    path = HERE / f"{vocabulary}_{phase}{'_small' if SMALL else ''}_lmdb"
    classes = known() if vocabulary == "known" else np.arange(CLASSES)
    repeats = PER_CLASS[vocabulary] if phase == "train" else 1
    rng = np.random.default_rng([1, vocabulary == "known", phase == "test"])
    labels = rng.permutation(np.tile(np.arange(len(classes)), repeats))[: None if phase == "train" else TESTED]
    return write_database(path, pictures(phase, classes[labels], labels, rng))


def pictures(phase, numbers, labels, rng):
    """Yield a picture of each number, and its label; the end of some is smudged."""
    source = mnist(phase)
    of_digit = [np.flatnonzero(source.labels == digit) for digit in range(10)]
    for number, label in zip(numbers, labels, strict=True):
        chosen = [rng.choice(of_digit[int(digit)]) for digit in f"{number:0{DIGITS}}"]
        picture = np.hstack([source.images[each][MARGIN:-MARGIN, MARGIN:-MARGIN] for each in chosen])
        if rng.random() < SMUDGED:
            start = int(rng.integers(SIDE, DIGITS * SIDE))
            picture[:, start:] = rng.integers(96, 160, (SIDE, DIGITS * SIDE - start))
        yield picture, label


def held(count, seed):
    """Pictures of test digits for validation and for the figures, N×20×80 bytes, with their numbers."""
    rng = np.random.default_rng([2, seed])
    numbers = rng.integers(0, CLASSES, count)
    return np.stack([picture for picture, _ in pictures("test", numbers, numbers, rng)]), numbers


def names():
    """The classes' names: 0000 to 9999."""
    return [f"{number:0{DIGITS}}" for number in range(CLASSES)]


def write_tree(path):
    """Write the is-a tree as `cafx serve --tree` reads it: 1234 is a 123?, which is a 12??, and so on."""
    lines = []
    for length in range(DIGITS + 1):
        for number in range(10**length):
            prefix = f"{number:0{length}}" if length else ""
            parent = _node(prefix[:-1]) if length else ""
            lines.append(f"{_node(prefix)}\t{parent}\t{_node(prefix)}\n")
    path.write_text("".join(lines))


def _node(prefix):
    return prefix + UNKNOWN * (DIGITS - len(prefix))


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.partition(":")[0]).parse_args()
    try:
        for each in ("known", "open"):
            print(database(each, "train"), database(each, "test"))
    except CafxError as error:
        sys.exit(f"error: {error}")
