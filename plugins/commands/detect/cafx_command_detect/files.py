"""Tables of windows and of detections, and pictures with boxes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cafx.kernel import CafxError
from cafx.kernel.files import atomic_write
from cafx_command_detect.search import Box, Detection
from cafx_lib_feed.images import cv2, encode

FIELDS = ("filename", "ymin", "xmin", "ymax", "xmax", "class", "label", "score")
CORNERS = FIELDS[1:5]
COLOURS = ((60, 60, 230), (60, 180, 60), (230, 120, 40), (30, 190, 230), (200, 60, 200), (190, 190, 40))
"""Colours of boxes, BGR, by class."""
TEXT_SCALE, TEXT_GAP = 0.5, 4


def read_windows(path: str) -> dict[str, list[Box]]:
    """Windows by image, from a table with the columns filename, ymin, xmin, ymax, xmax.

    Raises:
        CafxError: it is not such a table.
    """
    found: dict[str, list[Box]] = {}
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                top, left, bottom, right = (round(float(row[name])) for name in CORNERS)
                found.setdefault(row["filename"], []).append((top, left, bottom, right))
    except OSError as error:
        raise CafxError(f"cannot be read: {error.strerror}", where=path, remedy="check the path") from None
    except (KeyError, ValueError, TypeError):
        raise CafxError(
            "is not a table of windows", where=path, expected=f"columns filename, {', '.join(CORNERS)}"
        ) from None
    if not found:
        raise CafxError("has no windows", where=path, expected=f"columns filename, {', '.join(CORNERS)}")
    return found


def draw(image: Any, found: list[Detection], path: Path, zoom: int = 1) -> None:
    """Write a picture with a box, a label and a score for each detection, the best on top.

    Args:
        image: uint8 pixels, H×W×3.
        found: the detections, the best first.
        path: the file.
        zoom: factor by which the picture is enlarged.
    """
    picture = np.ascontiguousarray(image.repeat(zoom, axis=0).repeat(zoom, axis=1))
    for each in reversed(found):
        top, left, bottom, right = (zoom * edge for edge in each.window)
        colour = COLOURS[each.number % len(COLOURS)]
        cv2().rectangle(picture, (left, top), (right - 1, bottom - 1), colour, 2)
        text, font = f"{each.label} {each.score:.2f}", cv2().FONT_HERSHEY_SIMPLEX
        (width, height), _ = cv2().getTextSize(text, font, TEXT_SCALE, 1)
        base = top - TEXT_GAP if top > height + 2 * TEXT_GAP else top + height + TEXT_GAP
        start = max(0, min(left, picture.shape[1] - width))
        cv2().rectangle(picture, (start, base - height - TEXT_GAP), (start + width, base + TEXT_GAP), colour, -1)
        cv2().putText(picture, text, (start, base), font, TEXT_SCALE, (255, 255, 255), 1)
    with atomic_write(path) as file:
        file.write(encode(picture, path.suffix, f"'{path}'"))


def write_table(path: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write a table with the columns `FIELDS`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    writer.writerows(rows)
    with atomic_write(Path(path)) as file:
        file.write(text.getvalue().encode())
