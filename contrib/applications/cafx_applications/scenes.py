"""Scenes of handwritten digits with known places: what the applications learn from where no real data are at hand."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from cafx_applications.datasets import Labelled

TRIES = 30
"""Places to try for a digit before it is left out."""
Bytes = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]


class Digit(NamedTuple):
    """A digit in a scene: which it is, and the square it lies in (x, y of the upper left corner, side)."""

    label: int
    x: int
    y: int
    side: int

    @property
    def box(self) -> Box:
        """Left, upper, right and lower edge; the last two lie outside."""
        return self.x, self.y, self.x + self.side, self.y + self.side


class Scene(NamedTuple):
    """A picture (H×W bytes) and the digits in it."""

    image: Bytes
    digits: list[Digit]


def scene(
    source: Labelled,
    rng: np.random.Generator,
    *,
    shape: tuple[int, int],
    digits: tuple[int, int],
    sides: tuple[int, int],
    background: Bytes | None = None,
) -> Scene:
    """Draw digits, apart from each other, at random places of a background.

    Args:
        source: where digits come from, as `cafx_applications.datasets.mnist` returns them.
        rng: draws everything.
        shape: height and width of the picture.
        digits: least and largest number of digits.
        sides: least and largest side of a digit's square, in pixels.
        background: H×W bytes; black if None.

    Returns:
        The picture; a digit for which no free place is found is left out.
    """
    image = np.zeros(shape, np.uint8) if background is None else background.copy()
    placed: list[Digit] = []
    for _ in range(int(rng.integers(digits[0], digits[1] + 1))):
        number, side = int(rng.integers(len(source.labels))), int(rng.integers(sides[0], sides[1] + 1))
        place = _free_place(placed, shape, side, rng)
        if place is not None:
            x, y = place
            drawn = resized(source.images[number], side)
            part = image[y : y + side, x : x + side]
            np.maximum(part, drawn, out=part)
            placed.append(Digit(int(source.labels[number]), x, y, side))
    return Scene(image, placed)


def resized(image: Bytes, side: int) -> Bytes:
    """A square image at another size, averaged where it shrinks.

    Args:
        image: H×W or H×W×C bytes.
        side: the new height and width.
    """
    how = cv2.INTER_AREA if side < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side, side), interpolation=how), np.uint8)


def clutter(shape: tuple[int, int], source: Labelled, rng: np.random.Generator, *, pieces: int, size: int) -> Bytes:
    """A black picture with pieces of digits scattered over it, none of which is a whole digit.

    Args:
        shape: height and width.
        source: where the pieces come from.
        rng: draws everything.
        pieces: how many.
        size: side of a piece, in pixels; at most half a digit.
    """
    image = np.zeros(shape, np.uint8)
    height, width = source.images.shape[1:3]
    for _ in range(pieces):
        digit = source.images[rng.integers(len(source.labels))]
        top, left = rng.integers(0, height - size), rng.integers(0, width - size)
        y, x = rng.integers(0, shape[0] - size), rng.integers(0, shape[1] - size)
        part = image[y : y + size, x : x + size]
        np.maximum(part, digit[top : top + size, left : left + size], out=part)
    return image


def texture(shape: tuple[int, int], rng: np.random.Generator, *, grain: int, contrast: float = 40.0) -> Bytes:
    """A smooth random texture of mean 128.

    Args:
        shape: height and width.
        rng: draws it.
        grain: size of its spots, in pixels.
        contrast: standard deviation in grey levels.
    """
    coarse = rng.standard_normal((-(-shape[0] // grain) + 2, -(-shape[1] // grain) + 2)).astype(np.float32)
    smooth = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    smooth = (smooth - smooth.mean()) / max(float(smooth.std()), 1e-6)
    return np.clip(128 + contrast * smooth, 0, 255).astype(np.uint8)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes.

    Example:
        >>> overlap((0, 0, 2, 2), (1, 0, 3, 2))
        0.3333333333333333
    """
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0, width) * max(0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / (sum(areas) - common) if common else 0.0


def _free_place(
    placed: list[Digit], shape: tuple[int, int], side: int, rng: np.random.Generator
) -> tuple[int, int] | None:
    for _ in range(TRIES):
        x, y = int(rng.integers(0, shape[1] - side + 1)), int(rng.integers(0, shape[0] - side + 1))
        box = (x, y, x + side, y + side)
        if all(overlap(box, digit.box) == 0 for digit in placed):
            return x, y
    return None
