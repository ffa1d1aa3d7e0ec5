"""Makes scenes with a class per pixel, as databases of images and of labels: ``python data.py [--train N] [--test N]``.

A scene has three to six objects (discs, squares, triangles, rings, digits) with textures, on another texture.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from cafx.kernel import CafxError
from cafx_applications.datasets import mnist
from cafx_applications.running import SMALL, write_database
from cafx_applications.scenes import overlap, resized, texture

HERE = Path(__file__).resolve().parent
COUNTS = {"train": 300, "test": 40} if SMALL else {"train": 3000, "test": 300}
CLASSES = ("background", "disc", "square", "triangle", "ring", "digit")
DISC, SQUARE, TRIANGLE, RING, DIGIT = range(1, 6)
SIDE = 64 if SMALL else 128  # of a scene, in pixels
SIDES = (24, 44) if SMALL else (36, 72)  # of an object's square
OBJECTS = (3, 6)
MARGIN = 4  # around a digit of MNIST
COMMON = 0.05  # overlap that the squares of two objects may have
COLOURS = (40, 216)
APART = 100  # sum of the differences between the colours of an object and of the background


def database(phase, what, count=None):
    """The path of the database of ``"images"`` or ``"labels"`` of a phase, made on first use."""
    made = scenes(phase, count or COUNTS[phase])
    items = ((image if what == "images" else truth, 0) for image, truth in made)
    return write_database(HERE / f"{phase}_{what}{'_small' if SMALL else ''}_lmdb", items)


def scenes(phase, count, seed=0):
    """Yield scenes, 3×H×W bytes, blue first, and their truth, H×W classes."""
    source, rng = mnist(phase), np.random.default_rng([seed, phase == "test"])
    for _ in range(count):
        image, truth = scene(source, rng)
        yield np.ascontiguousarray(image.transpose(2, 0, 1)), truth


def scene(source, rng):
    """A scene, H×W×3, and its truth; digits come from ``source``."""
    ground = rng.integers(*COLOURS, 3)
    image, truth, boxes = surface(ground, SIDE, rng), np.zeros((SIDE, SIDE), np.uint8), []
    for _ in range(rng.integers(OBJECTS[0], OBJECTS[1] + 1)):
        side = int(rng.integers(SIDES[0], SIDES[1] + 1))
        x, y = (int(start) for start in rng.integers(0, SIDE - side + 1, 2))
        box = (x, y, x + side, y + side)
        if all(overlap(box, other) <= COMMON for other in boxes):
            label = int(rng.integers(1, len(CLASSES)))
            mask, place = outline(label, side, source, rng), (slice(y, y + side), slice(x, x + side))
            image[place][mask] = surface(unlike(ground, rng), side, rng)[mask]
            truth[place][mask] = label
            boxes.append(box)
    return image, truth


def surface(colour, side, rng):
    """A square texture of a mean colour."""
    grey = texture((side, side), rng, grain=int(rng.integers(3, 17)), contrast=25)
    return np.clip(grey[:, :, None].astype(np.int16) - 128 + colour, 0, 255).astype(np.uint8)


def unlike(colour, rng):
    """A colour that differs from another."""
    while True:
        drawn = rng.integers(*COLOURS, 3)
        if np.abs(drawn - colour).sum() >= APART:
            return drawn


def outline(label, side, source, rng):
    """The pixels of an object of a class, in its square."""
    if label == DIGIT:
        digit = source.images[rng.integers(len(source.labels))][MARGIN:-MARGIN, MARGIN:-MARGIN]
        return cv2.dilate(resized(digit, side), np.ones((side // 8, side // 8), np.uint8)) >= 128
    mask, centre = np.zeros((side, side), np.uint8), (side // 2, side // 2)
    if label in (DISC, RING):
        thickness = -1 if label == DISC else side // 5
        cv2.circle(mask, centre, side // 2 - max(thickness, 0) // 2, 1, thickness)
    else:
        corners = 4 if label == SQUARE else 3
        angles = 2 * np.pi * (rng.random() + np.arange(corners)) / corners
        points = side / 2 * (1 + np.stack([np.cos(angles), np.sin(angles)], axis=1))
        cv2.fillPoly(mask, [points.round().astype(np.int32)], 1)
    return mask.astype(bool)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name, default in COUNTS.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N")
    try:
        for name, number in vars(parser.parse_args()).items():
            print(database(name, "images", number), database(name, "labels", number))
    except CafxError as error:
        sys.exit(f"error: {error}")
