"""Cuts this repository's documentation into streams of characters: ``python data.py``."""

import argparse
import sys
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError
from cafx_applications.running import SMALL
from cafx_applications.sequences import write_rows
from cafx_applications.texts import documentation

HERE = Path(__file__).resolve().parent
OTHER = "\N{REPLACEMENT CHARACTER}"
ALPHABET = OTHER + "".join(map(chr, range(32, 127))) + "\n"
NUMBERS = {character: number for number, character in enumerate(ALPHABET)}
STEPS = 32  # T: characters per batch and stream
STREAMS = {"train": 32, "test": 10}
TEST_BATCHES = 50
HELD = TEST_BATCHES * STEPS * STREAMS["test"] + 1  # characters at the end of the text
MINIATURE = 80_000


def text(phase):
    """The text of a phase: all but the end to train, the end to test."""
    whole = documentation()
    if len(whole) < 3 * HELD:
        raise CafxError("the text is too short", found=f"{len(whole)} characters", expected=f"{3 * HELD} or more")
    return whole[-HELD:] if phase == "test" else whole[: MINIATURE if SMALL else -HELD]


def encoded(characters):
    """Characters as numbers; 0 for any that is not printable ASCII."""
    return np.array([NUMBERS.get(character, 0) for character in characters])


def decoded(numbers):
    """Numbers as characters."""
    return "".join(ALPHABET[number] for number in numbers)


def streams(phase):
    """The HDF5 list of the phase's streams; a batch of rows is T×N, and the next batch continues it."""
    return write_rows(
        HERE / f"{phase}{'_small' if SMALL else ''}.h5", lambda: rows(encoded(text(phase)), phase), replace=True
    )


def rows(numbers, phase):
    """Cut a text into N pieces that are read side by side: the character before, the next one, and markers."""
    count = STREAMS[phase]
    length = (len(numbers) - 1) // (count * STEPS) * STEPS
    cont = np.ones((length, count))
    cont[0] = 0  # at the beginning of the text, and at every further pass over it
    before, after = (numbers[first : first + count * length].reshape(count, length).T for first in (0, 1))
    return {"cont": cont, "character": before, "next_character": after}


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    try:
        for each in STREAMS:
            print(streams(each))
    except CafxError as error:
        sys.exit(f"error: {error}")
