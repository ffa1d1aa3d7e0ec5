"""Makes scenes of two digits and sentences about them: ``python data.py [--train N] [--test N]``."""

import argparse
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cafx.kernel import CafxError
from cafx_applications.datasets import mnist
from cafx_applications.running import SMALL, write_database
from cafx_applications.scenes import overlap, resized
from cafx_applications.sequences import continuation, time_major, write_rows

HERE = Path(__file__).resolve().parent
COUNTS = {"train": 3000, "test": 300} if SMALL else {"train": 60000, "test": 1200}
BATCHES = {"train": 60, "test": 100}
PICTURE = 48
SIDES = {"large": (24, 28), "small": (13, 16)}
LEANING = 1.5  # "left" needs a distance across that is larger than the one down by this factor

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
WORDS = ("<end>", "a", "large", "small", "left", "right", "above", "below", "of", *NAMES)
END, NONE = 0, -1
STEPS = 9  # words of the longest sentence, with its end


class Truth(NamedTuple):
    """What is in a scene: the two digits, and where the large one is as seen from the small one."""

    large: int
    small: int
    relation: int

    def sentences(self):
        """The two sentences that describe the scene; the first begins with the large digit."""
        large, small = f"a large {NAMES[self.large]}", f"a small {NAMES[self.small]}"
        relation = RELATIONS[self.relation]
        return f"{large} {relation} {small}", f"{small} {OPPOSITE[relation]} {large}"


@cache
def scenes(phase, count, seed=0):
    """Pictures of 48×48 pixels and the truth of each."""
    return list(drawn(phase, count, seed))


def drawn(phase, count, seed):
    """Yield pictures and truths."""
    source, rng = mnist(phase), np.random.default_rng([seed, phase == "test"])
    for _ in range(count):
        numbers = rng.integers(len(source.labels), size=2)
        sides = [int(rng.integers(low, high + 1)) for low, high in SIDES.values()]
        places, relation = placed(sides, rng)
        image = np.zeros((PICTURE, PICTURE), np.uint8)
        for number, side, (x, y) in zip(numbers, sides, places, strict=True):
            image[y : y + side, x : x + side] = resized(source.images[number], side)
        yield image, Truth(*source.labels[numbers].tolist(), relation)


def placed(sides, rng):
    """Places of two digits that lie apart, the one clearly beside or above the other, and the relation."""
    while True:
        places = [tuple(rng.integers(0, PICTURE - side + 1, 2).tolist()) for side in sides]
        large, small = ((x, y, x + side, y + side) for side, (x, y) in zip(sides, places, strict=True))
        across, down = (large[axis] + large[axis + 2] - small[axis] - small[axis + 2] for axis in (0, 1))
        if overlap(large, small) == 0:
            if abs(across) > LEANING * abs(down):
                return places, RELATIONS.index("left of" if across < 0 else "right of")
            if abs(down) > LEANING * abs(across):
                return places, RELATIONS.index("above" if down < 0 else "below")


def encoded(sentence):
    """The words of a sentence as numbers, with its end."""
    return [WORDS.index(word) for word in sentence.split()] + [END]


def decoded(numbers):
    """The sentence of numbers, up to its end."""
    words = [WORDS[number] for number in numbers]
    return " ".join(words[: words.index(WORDS[END])] if WORDS[END] in words else words)


def pictures(phase, count=None):
    """The database of the scenes' pictures, made on first use; it has no labels."""
    return write_database(HERE / f"{name(phase)}_lmdb", unlabelled(phase, count or COUNTS[phase]))


def unlabelled(phase, count):
    """Yield the pictures of scenes, without a label."""
    for image, _ in scenes(phase, count):
        yield image, 0


def objects(phase, count=None):
    """The HDF5 list of what is in each scene, in the pictures' order."""
    return write_rows(HERE / f"{name(phase)}_objects.h5", lambda: columns(truths(phase, count)))


def sentences(phase, count=None):
    """The HDF5 list of a sentence per scene, in the pictures' order; a batch of rows is T×N."""
    return write_rows(HERE / f"{name(phase)}_sentences.h5", lambda: teaching(phase, truths(phase, count)))


def name(phase):
    """What the files of a phase begin with."""
    return f"{phase}_small" if SMALL else phase


def truths(phase, count=None):
    """The truth of each scene."""
    return [truth for _, truth in scenes(phase, count or COUNTS[phase])]


def columns(known):
    """The truths as one array per part."""
    return dict(zip(Truth._fields, np.array(known).T, strict=True))


def teaching(phase, known):
    """Teacher forcing: at each step the word before is read, and the word itself is the target."""
    first = np.random.default_rng([2, phase == "test"]).integers(2, size=len(known))  # either sentence is right
    targets = np.full((len(known), STEPS), NONE)
    for row, truth, which in zip(targets, known, first, strict=True):
        words = encoded(truth.sentences()[which])
        row[: len(words)] = words
    before = np.column_stack([np.full(len(known), END), np.maximum(targets[:, :-1], END)])
    rows = {"cont_sentence": continuation(len(known), STEPS), "input_sentence": before, "target_sentence": targets}
    return {key: time_major(value, BATCHES[phase]) for key, value in rows.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for each, default in COUNTS.items():
        help_text = f"scenes, a multiple of {BATCHES[each]} (default: %(default)s)"
        parser.add_argument(f"--{each}", type=int, default=default, metavar="N", help=help_text)
    given = vars(parser.parse_args())
    if any(number < 1 or number % BATCHES[each] for each, number in given.items()):
        parser.error(f"--train takes a multiple of {BATCHES['train']}, --test one of {BATCHES['test']}")
    try:
        for each, number in given.items():
            print(pictures(each, number), objects(each, number), sentences(each, number))
    except CafxError as error:
        sys.exit(f"error: {error}")
