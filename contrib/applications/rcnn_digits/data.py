"""Makes pictures of digits on cluttered canvases, and their windows: ``python data.py [--train N] [--test N]``.

A folder per phase in ``pictures`` has the pictures, ``digits.csv`` (what they show), ``windows.csv`` (what selective
search proposes) and ``windows.txt``, in which the layer WindowData finds both, with the overlap of each window and a
digit. For pre-training, ``digits_PHASE_lmdb`` has single digits, cut out of more such canvases.
"""

import argparse
import csv
import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from cafx.kernel import CafxError
from cafx_applications.datasets import mnist
from cafx_applications.running import SMALL, write_database
from cafx_applications.scenes import overlap, resized, texture
from cafx_lib_boxes import overlaps
from cafx_lib_feed.windows import warp
from cafx_lib_inputs import selective_search

HERE = Path(__file__).resolve().parent
COUNTS = {"train": 24, "test": 6} if SMALL else {"train": 400, "test": 100}
CUT = {"train": 1500, "test": 100} if SMALL else {"train": 20000, "test": 2000}
SIDE = 128
CROP, PAD = 32, 4  # side of a window as the net sees it, and the context on each side of it
MEAN, SCALE = 96, 1 / 64
JITTER = 0.1  # of a digit's box where it is cut out, in widths and heights
SEARCH_WIDTH = 128  # to which selective search resizes a picture
DIGITS, SIDES = (3, 5), (32, 56)  # per picture; side of MNIST's square, in pixels
SHAPES, SIZES = (3, 5), (9, 20)  # what is no digit; radius in pixels
APART = 0.7  # part of a shape that no digit touches
INK = 96  # grey level from which a pixel belongs to the digit
TRIES = 30
CORNERS = ("xmin", "ymin", "xmax", "ymax")
FIELDS = ("filename", *CORNERS, "class")


class Picture(NamedTuple):
    """A picture, its digits and its windows; boxes are rows of xmin, ymin, xmax, ymax, the last two exclusive."""

    path: str
    labels: np.ndarray
    boxes: np.ndarray
    windows: np.ndarray


def folder(phase, count=None):
    """The path of a phase's folder relative to the current one; it is made on first use."""
    path = HERE / "pictures" / f"{phase}{'_small' if SMALL else ''}"
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.mkdir(parents=True)
        try:
            write(draft, phase, count or COUNTS[phase])
            if not path.exists():  # another process may have been faster
                draft.rename(path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return os.path.relpath(path)


def pictures(phase):
    """The pictures of a phase, with their digits and windows."""
    place = Path(folder(phase))
    digits, windows = (boxes_of(place / name) for name in ("digits.csv", "windows.csv"))
    return [
        Picture(str(place / name), rows[:, 4], rows[:, :4], windows.get(name, rows[:0])[:, :4])
        for name, rows in digits.items()
    ]


def boxes_of(path):
    """Rows of xmin, ymin, xmax, ymax and class per file name of a table."""
    found = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            corners = [int(row[name]) for name in CORNERS]
            found.setdefault(row["filename"], []).append([*corners, int(row["class"])])
    return {name: np.array(rows) for name, rows in found.items()}


def cut_out(phase, count=None):
    """The path of the database of single digits of a phase, made on first use."""
    return write_database(HERE / f"digits_{phase}{'_small' if SMALL else ''}_lmdb", cuts(phase, count or CUT[phase]))


def cuts(phase, count, seed=0):
    """Yield digits of canvases, roughly cut out and warped as windows are, and which they are."""
    source, rng = mnist(phase), np.random.default_rng([seed, phase == "test", 1])
    while count > 0:
        image, labels, boxes = canvas(source, rng)
        for label, (x0, y0, x1, y1) in zip(labels[:count], boxes, strict=False):
            size = np.array([x1 - x0, y1 - y0] * 2)
            shifted = np.round((x0, y0, x1, y1) + size * rng.uniform(-JITTER, JITTER, 4)).astype(int)
            yield warped(image, np.clip(shifted, 0, SIDE).tolist()), label
        count -= len(labels)


def warped(image, box):
    """A window with its context as 3×CROP×CROP values; what lies outside of the picture has the mean."""
    x0, y0, x1, y1 = box
    piece, top, left = warp(image, (x0, y0, x1 - 1, y1 - 1), (CROP, CROP), PAD)
    window = np.full((3, CROP, CROP), MEAN, np.uint8)
    window[:, top : top + piece.shape[0], left : left + piece.shape[1]] = piece.transpose(2, 0, 1)
    return window


def write(place, phase, count, seed=0):
    """Write pictures and the three lists of what is in them."""
    source, rng = mnist(phase), np.random.default_rng([seed, phase == "test"])
    digits, proposals, both = [], [], []
    for number in range(count):
        name = f"{number:04d}.png"
        image, labels, boxes = canvas(source, rng)
        cv2.imwrite(str(place / name), image)
        windows = selective_search(image, SEARCH_WIDTH)[:, [1, 0, 3, 2]]
        digits += [(name, *box, label) for box, label in zip(boxes.tolist(), labels.tolist(), strict=True)]
        proposals += [(name, *box, -1) for box in windows.tolist()]
        both.append(window_list(number, name, labels, boxes, np.concatenate([boxes, windows])))
    write_boxes(place / "digits.csv", digits)
    write_boxes(place / "windows.csv", proposals)
    (place / "windows.txt").write_text("".join(both))


def write_boxes(path, rows):
    """Write a table in the form of those that ``cafx detect`` reads and writes."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(FIELDS)
        table.writerows(rows)


def window_list(number, name, labels, boxes, windows):
    """A picture as WindowData reads it: class (digit d is d + 1), overlap and inclusive corners of each window."""
    common = overlaps(windows.astype(float), boxes.astype(float))
    lines = [f"# {number}", name, "3", str(SIDE), str(SIDE), str(len(windows))]
    for (x0, y0, x1, y1), row in zip(windows, common, strict=True):
        lines.append(f"{labels[row.argmax()] + 1} {row.max():.4f} {x0} {y0} {x1 - 1} {y1 - 1}")
    return "\n".join(lines) + "\n"


def canvas(source, rng):
    """A picture (BGR) with digits of random size and colour, their labels and their tight boxes."""
    grain = texture((SIDE, SIDE), rng, grain=16, contrast=12.0).astype(int) - 128
    image = np.clip(rng.integers(30, 100, 3) + grain[:, :, None], 0, 255).astype(np.uint8)
    shapes = [draw_shape(image, rng) for _ in range(rng.integers(SHAPES[0], SHAPES[1] + 1))]
    labels, boxes = [], []
    for _ in range(rng.integers(DIGITS[0], DIGITS[1] + 1)):
        number = rng.integers(len(source.labels))
        box = paste(image, source.images[number], shapes + boxes, rng)
        if box:
            labels.append(int(source.labels[number]))
            boxes.append(box)
    return image, np.array(labels), np.array(boxes)


def draw_shape(image, rng):
    """Draw the outline of a triangle, square or pentagon, or a cross, and return the part where no digit may be."""
    corners, radius = int(rng.integers(2, 6)), int(rng.integers(SIZES[0], SIZES[1] + 1))
    angles = rng.uniform(0, 2 * np.pi) + np.arange(max(4, corners)) * 2 * np.pi / max(4, corners)
    if corners == 3:
        angles = angles[0] + np.arange(3) * 2 * np.pi / 3
    centre = rng.integers(radius, SIDE - radius, 2)
    points = np.round(centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.int32)
    lines = [points[[0, 2]], points[[1, 3]]] if corners == 2 else [points]
    colour, width = [int(level) for level in rng.integers(110, 256, 3)], int(rng.integers(2, 5))
    cv2.polylines(image, lines, corners > 2, colour, width, cv2.LINE_AA)
    x, y = centre.tolist()
    inner = round(APART * radius)
    return x - inner, y - inner, x + inner, y + inner


def paste(image, digit, taken, rng):
    """Draw a digit where it meets none of the boxes ``taken``; its tight box, or None if no place was found."""
    drawn = resized(digit, int(rng.integers(SIDES[0], SIDES[1] + 1)))
    ys, xs = np.nonzero(drawn >= INK)
    drawn = drawn[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    height, width = drawn.shape
    for _ in range(TRIES):
        x, y = int(rng.integers(SIDE - width + 1)), int(rng.integers(SIDE - height + 1))
        box = (x, y, x + width, y + height)
        if all(overlap(box, other) == 0 for other in taken):
            part, opacity = image[y : y + height, x : x + width], drawn[:, :, None] / 255
            part[:] = np.rint(part * (1 - opacity) + rng.integers(140, 256, 3) * opacity)
            return box
    return None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in COUNTS.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N")
    try:
        for name, number in vars(parser.parse_args()).items():
            print(folder(name, number), cut_out(name))
    except CafxError as error:
        sys.exit(f"error: {error}")
