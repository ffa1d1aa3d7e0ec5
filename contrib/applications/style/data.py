"""Makes pictures in five styles, as databases: ``python data.py [--train N] [--test N]``.

They come from CIFAR-10 and from the photographs of the data folder.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from styles import STYLES

from cafx.kernel import CafxError
from cafx_applications.datasets import cifar10, photographs
from cafx_applications.running import SMALL, write_database
from cafx_applications.scenes import resized

HERE = Path(__file__).resolve().parent
COUNTS = {"train": 200, "test": 60} if SMALL else {"train": 2000, "test": 1000}
SIDE = 104  # of a picture, in pixels
STRENGTHS = (0.25, 1.0)
SHARE_OF_CROPS = 0.2  # the other pictures are CIFAR-10's
CROPS = (0.25, 0.6)  # sides of crops, as shares of the shorter side of a photograph
HELD = 1  # photographs, the first by name, whose crops are test pictures


def database(phase, count=None):
    """The path of the ``train`` or ``test`` database, made on first use."""
    path = HERE / f"{phase}{'_small' if SMALL else ''}_lmdb"
    return write_database(path, pictures(phase, count or COUNTS[phase]))


def pictures(phase, count, seed=0):
    """Yield pictures, 3×H×W bytes, blue first, and the numbers of their styles."""
    rng, styles = np.random.default_rng([seed, phase == "test"]), list(STYLES.values())
    for plain in plain_pictures(phase, count, rng):
        style = int(rng.integers(len(styles)))
        image = styles[style](plain / np.float32(255), rng.uniform(*STRENGTHS), rng)
        yield (255 * np.clip(image, 0, 1)).astype(np.uint8)[:, :, ::-1].transpose(2, 0, 1), style


def plain_pictures(phase, count, rng):
    """Yield pictures without a style, H×W×3 bytes, red first; no photograph is used in both phases."""
    images, photos = cifar10(phase).images, coloured_photographs()
    photos = photos[:HELD] if phase == "test" else photos[HELD:]
    for number in rng.permutation(len(images))[:count]:
        if photos and rng.random() < SHARE_OF_CROPS:
            image = crop(photos[rng.integers(len(photos))], rng)
        else:
            image = np.ascontiguousarray(images[number].transpose(1, 2, 0))
        yield resized(image, SIDE)


def coloured_photographs():
    """The photographs that have colours, red first."""
    images = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in photographs()]
    return [image for image in images if np.ptp(image, axis=2).max() > 0]


def crop(photo, rng):
    """A square from a photograph."""
    side = int(rng.uniform(*CROPS) * min(photo.shape[:2]))
    y, x = (int(rng.integers(0, length - side + 1)) for length in photo.shape[:2])
    return photo[y : y + side, x : x + side]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name, default in COUNTS.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N")
    try:
        for name, number in vars(parser.parse_args()).items():
            print(database(name, number))
    except CafxError as error:
        sys.exit(f"error: {error}")
