"""Detections in one image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from cafx.kernel import CafxError
from cafx_command_detect.geometry import moved, strongest, warped
from cafx_lib_feed.images import read_image
from cafx_lib_inputs import selective_search

if TYPE_CHECKING:
    from cafx_lib_inputs import Scorer

Box = tuple[int, int, int, int]
OFFSETS = 4


@attrs.frozen
class Detection:
    """A window and the class found in it.

    Attributes:
        window: ymin, xmin, ymax, xmax in pixels; the last two are exclusive.
        number, label: the class.
        score: its score.
    """

    window: tuple[int, int, int, int]
    number: int
    label: str
    score: float

    def row(self, path: str) -> tuple[Any, ...]:
        """The values of `FIELDS`."""
        return (path, *self.window, self.number, self.label, self.score)


@attrs.frozen
class Search:
    """Which windows are scored, and which become detections: the options of the command."""

    max_windows: int
    search_width: int
    pad: int
    crop_mode: str
    boxes: str | None
    background: int | None
    threshold: float
    overlap: float


def detections(
    scorer: Scorer, path: str, proposed: dict[str, list[Box]] | None, names: list[str] | None, search: Search
) -> tuple[Any, list[Detection]]:
    """An image and what is found in it, the best first.

    Args:
        scorer: the net.
        path: the image.
        proposed: windows by path; None for those of selective search.
        names: names of the classes.
        search: the options of the command.

    Raises:
        CafxError: the image cannot be read, a window is outside of it, the context is larger than the net's input,
            or names, scores and boxes differ in number.
    """
    image = read_image(path, color=scorer.channels != 1)
    colour = image if image.shape[2] != 1 else np.repeat(image, 3, axis=2)
    windows = _windows(path, colour, proposed, search)
    if not len(windows):
        return colour, []
    inputs = (warped(image, window, scorer, search.pad, search.crop_mode == "square") for window in windows)
    blobs = [scorer.output, search.boxes] if search.boxes else [scorer.output]
    scores, *moves = (np.stack(values) for values in zip(*scorer.values(inputs, blobs), strict=True))
    if names and len(names) != scores.shape[1]:
        raise CafxError("wrong number of labels", found=len(names), expected=f"{scores.shape[1]}, one per class")
    if moves and moves[0].shape[1] != OFFSETS * scores.shape[1]:
        expected = f"{OFFSETS * scores.shape[1]}: dx, dy, dw, dh per class"
        raise CafxError(f"blob '{search.boxes}' has no boxes", found=moves[0].shape[1], expected=expected)
    found = []
    for number in range(scores.shape[1]):
        if number == search.background:
            continue
        label = names[number] if names else str(number)
        boxes = moved(windows, moves[0][:, OFFSETS * number :][:, :OFFSETS], image.shape[:2]) if moves else windows
        for index in strongest(boxes, scores[:, number], search.threshold, search.overlap):
            box = tuple(int(corner) for corner in boxes[index])
            found.append(Detection(box, number, label, float(scores[index, number])))  # type: ignore[arg-type]
    return colour, sorted(found, key=lambda each: -each.score)


def _windows(path: str, image: Any, proposed: dict[str, list[Box]] | None, search: Search) -> Any:
    """The windows to score, N×4: those proposed for the image, or those of selective search."""
    if proposed is None:
        return selective_search(image, search.search_width)[: search.max_windows]
    windows = np.asarray(proposed.get(path, []), int).reshape(-1, 4)
    limits = image.shape[:2]
    if (windows < 0).any() or (windows[:, 2:] > limits).any() or (windows[:, :2] >= windows[:, 2:]).any():
        expected = f"within {limits[0]}×{limits[1]}"
        raise CafxError("a window is empty or outside of the image", where=path, expected=expected)
    return windows
