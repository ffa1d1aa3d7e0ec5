"""Makes scenes and what is to be learned of them, as databases: ``python data.py [--train N] [--test N]``.

``PHASE_lmdb`` has the pictures with their categories, ``PHASE_marks_lmdb`` in the same order the attributes (a 0 or 1
each, as the channels of one pixel) with the type of environment.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from scenery import place

from cafx.kernel import CafxError
from cafx_applications.running import SMALL, write_database

HERE = Path(__file__).resolve().parent
COUNTS = {"train": 600, "test": 200} if SMALL else {"train": 4000, "test": 500}


def databases(phase, count=None):
    """The paths of a phase's databases of pictures and of attributes, made on first use."""
    number, end = count or COUNTS[phase], "_small_lmdb" if SMALL else "_lmdb"
    images = ((each.image.transpose(2, 0, 1), each.category) for each in places(phase, number))
    marks = ((each.attributes[:, None, None], each.type) for each in places(phase, number))
    return write_database(HERE / f"{phase}{end}", images), write_database(HERE / f"{phase}_marks{end}", marks)


def places(phase, count, seed=0):
    """Yield the scenes of a phase."""
    rng = np.random.default_rng([seed, phase == "test"])
    for _ in range(count):
        yield place(rng)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in COUNTS.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N")
    try:
        for name, number in vars(parser.parse_args()).items():
            print(*databases(name, number))
    except CafxError as error:
        sys.exit(f"error: {error}")
