"""Makes clips of a digit that moves over a torus: ``python data.py [--train N] [--test N]``."""

import argparse
import sys
from functools import cache
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError
from cafx_applications.datasets import mnist
from cafx_applications.running import SMALL, write_database
from cafx_applications.scenes import resized
from cafx_applications.sequences import continuation, time_major, write_rows

HERE = Path(__file__).resolve().parent
COUNTS = {"train": 1600, "test": 320} if SMALL else {"train": 9600, "test": 1600}
BATCH = 32  # clips
FRAMES, SIDE, DIGIT = 8, 24, 14
SPEEDS = (2, 4)  # pixels per frame
NOISE = 12.0  # grey levels
DIRECTIONS = ("right", "down right", "down", "down left", "left", "up left", "up", "up right")
STEP = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))  # rows and columns, of each direction


@cache
def clips(phase, count, seed=0):
    """Clips, frames × 24 × 24, and the direction of each.

    What leaves the picture comes back at the other side, so that a digit may be anywhere in any frame whatever its
    direction: a single frame tells nothing.
    """
    return list(drawn(phase, count, seed))


def drawn(phase, count, seed):
    """Yield clips and directions."""
    source, rng = mnist(phase), np.random.default_rng([seed, phase == "test"])
    for _ in range(count):
        image = resized(source.images[rng.integers(len(source.labels))], DIGIT)
        direction, speed = int(rng.integers(len(DIRECTIONS))), int(rng.integers(SPEEDS[0], SPEEDS[1] + 1))
        canvas = np.zeros((SIDE, SIDE), np.uint8)
        canvas[:DIGIT, :DIGIT] = image
        start = rng.integers(0, SIDE, 2)
        shifts = start + speed * np.array(STEP[direction]) * np.arange(FRAMES)[:, None]
        clip = np.stack([np.roll(canvas, shift, (0, 1)) for shift in shifts])
        yield np.clip(clip + rng.normal(0, NOISE, clip.shape), 0, 255).astype(np.uint8), direction


def frames(phase, count=None):
    """The database of frames, made on first use: a batch of T·N frames has frame 0 of N clips, then frame 1, …"""
    return write_database(HERE / f"{name(phase)}_lmdb", ordered(phase, count or COUNTS[phase]))


def ordered(phase, count):
    """Yield frames in the database's order, without a label."""
    waiting = []
    for clip, _ in clips(phase, count):
        waiting.append(clip)
        if len(waiting) == BATCH:
            yield from ((frame, 0) for frame in np.stack(waiting, axis=1).reshape(-1, SIDE, SIDE))
            waiting = []


def directions(phase, count=None):
    """The HDF5 list of continuation markers and directions, in the frames' order; a batch of rows is T×N."""
    return write_rows(HERE / f"{name(phase)}_directions.h5", lambda: columns(phase, count or COUNTS[phase]))


def columns(phase, count):
    """Continuation markers, and the direction at every frame of a clip."""
    known = np.array([direction for _, direction in clips(phase, count)])
    rows = {"cont": continuation(count, FRAMES), "direction": np.repeat(known[:, None], FRAMES, axis=1)}
    return {key: time_major(value, BATCH) for key, value in rows.items()}


def name(phase):
    """What the files of a phase begin with."""
    return f"{phase}_small" if SMALL else phase


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for each, default in COUNTS.items():
        help_text = f"clips, a multiple of {BATCH} (default: %(default)s)"
        parser.add_argument(f"--{each}", type=int, default=default, metavar="N", help=help_text)
    given = vars(parser.parse_args())
    if any(number < 1 or number % BATCH for number in given.values()):
        parser.error(f"both numbers are multiples of {BATCH}")
    try:
        for each, number in given.items():
            print(frames(each, number), directions(each, number))
    except CafxError as error:
        sys.exit(f"error: {error}")
