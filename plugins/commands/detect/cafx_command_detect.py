"""``cafx detect``: objects in images, found by scoring windows, as in R-CNN."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from cafx.cli.lazy import Settings
from cafx.cli.options import EngineChoice, engine_options, json_option, quiet_option, split_commas, weights_option
from cafx_lib_inputs.options import preprocessing_options, tell

if TYPE_CHECKING:
    from cafx_lib_inputs import Scorer
    from cafx_lib_preprocessing import Preprocessing

FIELDS = ("filename", "ymin", "xmin", "ymax", "xmax", "class", "label", "score")
CORNERS = FIELDS[1:5]
COLOURS = ((60, 60, 230), (60, 180, 60), (230, 120, 40), (30, 190, 230), (200, 60, 200), (190, 190, 40))
"""Colours of boxes, BGR, by class."""
TEXT_SCALE, TEXT_GAP = 0.5, 4


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


@click.command()
@click.argument("model", type=click.Path(dir_okay=False))
@click.argument("images", nargs=-1, metavar="IMAGE…")
@weights_option
@click.option(
    "--windows", type=click.Path(dir_okay=False), metavar="FILE.csv",
    help="Windows to score: columns filename, ymin, xmin, ymax, xmax (default: selective search).",
)  # fmt: skip
@click.option(
    "--max-windows", type=click.IntRange(1), default=500, show_default=True, metavar="N", help="Windows per image."
)
@click.option("--pad", type=click.IntRange(0), default=16, show_default=True, metavar="N",
              help="Context around a window, in pixels of the net's input.")  # fmt: skip
@click.option("--background", type=click.IntRange(0), metavar="N", help="Class that is no object; it is not reported.")
@click.option(
    "--threshold", type=float, default=0.5, show_default=True, metavar="S", help="Least score of a detection."
)
@click.option("--overlap", type=click.FloatRange(0, 1), default=0.3, show_default=True, metavar="F",
              help="Of windows that overlap more (intersection over union), the best is kept.")  # fmt: skip
@preprocessing_options("bilinear")
@click.option("--output", metavar="BLOB", help="Blob with the scores (default: the last output).")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Windows per pass (default: the net's batch size).")
@click.option(
    "--out", type=click.Path(file_okay=False), metavar="DIR", help="Write the pictures, with boxes, to this folder."
)
@engine_options
@click.option(
    "--csv", "table", type=click.Path(dir_okay=False), metavar="FILE", help="Write the detections to this table."
)
@json_option
@quiet_option
@click.pass_obj
def detect(
    settings: Settings,
    model: str,
    images: tuple[str, ...],
    weights: tuple[str, ...],
    windows: str | None,
    preprocessing: Callable[..., Preprocessing],
    engine: EngineChoice,
    out: str | None,
    table: str | None,
    as_json: bool,
    quiet: bool,
    output: str | None,
    batch: int | None,
    **search: Any,
) -> None:
    """Find objects in each IMAGE: files, folders or patterns such as 'photos/**/*.jpg'.

    MODEL is a deploy prototxt that classifies windows. Each window, with its context, is resized to the net's
    input. Pixels are 0 to 255 in the order BGR, as in Caffe's data layers.

    \b
    Example:
    cafx detect rcnn_deploy.prototxt photos/ --weights rcnn.caffemodel \\
        --labels classes.txt --out boxes/ --csv detections.csv
    """
    if not weights:
        raise click.UsageError("Detecting needs trained weights: --weights FILE.")
    if not images and not windows:
        raise click.UsageError("Name images, or --windows FILE.csv, which names them.")
    from cafx_lib_inputs import Scorer, find_images

    proposed = read_windows(windows) if windows else None
    paths = find_images(images or proposed or ())
    record = preprocessing()
    rows: list[tuple[Any, ...]] = []
    if out:
        Path(out).mkdir(parents=True, exist_ok=True)
    chosen = {"engine": engine, "weights": split_commas(weights), "keep": "outputs", "trust": True}
    with settings.net(model, "TEST", **chosen) as net:
        scorer = Scorer(net, record, output, batch)
        tell(scorer.preprocessing, quiet)
        names = scorer.preprocessing.names()
        for path in paths:
            image, found = detections(scorer, path, proposed, names, **search)
            rows += [each.row(path) for each in found]
            if out:
                draw(image, found, Path(out) / f"{Path(path).stem}.png")
            if not as_json:
                _print(path, found)
    if table:
        _write(table, rows)
    if as_json:
        click.echo(json.dumps([dict(zip(FIELDS, row, strict=True)) for row in rows]))


def detections(
    scorer: Scorer,
    path: str,
    proposed: dict[str, list[tuple[int, int, int, int]]] | None,
    names: list[str] | None,
    *,
    max_windows: int,
    pad: int,
    background: int | None,
    threshold: float,
    overlap: float,
) -> tuple[Any, list[Detection]]:
    """An image and what is found in it, the best first.

    Args:
        scorer: the net.
        path: the image.
        proposed: windows by path; None for those of selective search.
        names: names of the classes.
        max_windows, pad, background, threshold, overlap: the options of the command.

    Raises:
        CafxError: the image cannot be read, a window is outside of it, or names and scores differ in number.
    """
    import numpy as np

    from cafx.kernel import CafxError
    from cafx_lib_feed.images import read_image
    from cafx_lib_inputs import selective_search

    image = read_image(path, color=scorer.channels != 1)
    colour = image if image.shape[2] != 1 else np.repeat(image, 3, axis=2)
    windows = np.asarray(selective_search(colour)[:max_windows] if proposed is None else proposed.get(path, []), int)
    if not len(windows):
        return colour, []
    inside = (
        (windows >= 0).all() and (windows[:, 2:] <= image.shape[:2]).all() and (windows[:, :2] < windows[:, 2:]).all()
    )
    if not inside:
        raise CafxError(
            "a window is empty or outside of the image",
            where=path,
            expected=f"within {image.shape[0]}×{image.shape[1]}",
        )
    scores = np.stack(list(scorer.scores(scorer.prepare(crop(image, window, scorer, pad)) for window in windows)))
    if names and len(names) != scores.shape[1]:
        raise CafxError("wrong number of labels", found=len(names), expected=f"{scores.shape[1]}, one per class")
    found = []
    for number in range(scores.shape[1]):
        if number == background:
            continue
        label = names[number] if names else str(number)
        for index in strongest(windows, scores[:, number], threshold, overlap):
            box = tuple(int(corner) for corner in windows[index])
            found.append(Detection(box, number, label, float(scores[index, number])))  # type: ignore[arg-type]
    return colour, sorted(found, key=lambda each: -each.score)


def crop(image: Any, window: Any, scorer: Scorer, pad: int) -> Any:
    """A window and its context; beyond the border, the nearest pixels are repeated.

    Args:
        image: uint8 pixels, H×W×C.
        window: ymin, xmin, ymax, xmax.
        scorer: for the size of the net's input.
        pad: context on each side, in pixels of the net's input.
    """
    import numpy as np

    top, left, bottom, right = (int(corner) for corner in window)
    rows = round((bottom - top) * pad / max(1, scorer.height - 2 * pad))
    columns = round((right - left) * pad / max(1, scorer.width - 2 * pad))
    y = np.clip(np.arange(top - rows, bottom + rows), 0, image.shape[0] - 1)
    x = np.clip(np.arange(left - columns, right + columns), 0, image.shape[1] - 1)
    return np.ascontiguousarray(image[np.ix_(y, x)])


def strongest(windows: Any, scores: Any, threshold: float, overlap: float) -> list[int]:
    """Non-maximum suppression: the windows left when those that overlap a better one are removed.

    Args:
        windows: N×4 array of ymin, xmin, ymax, xmax.
        scores: score of each window.
        threshold: least score.
        overlap: greatest intersection over union with a better window.

    Returns:
        Numbers of windows, the best first.

    Example:
        >>> import numpy as np
        >>> windows = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
        >>> strongest(windows, np.array([0.8, 0.9, 0.7]), threshold=0.5, overlap=0.3)
        [1, 2]
    """
    import numpy as np

    order = [index for index in np.argsort(-scores, kind="stable") if scores[index] >= threshold]
    area = (windows[:, 2:] - windows[:, :2]).prod(1)
    kept: list[int] = []
    for index in order:
        sides = np.minimum(windows[kept, 2:], windows[index, 2:]) - np.maximum(windows[kept, :2], windows[index, :2])
        shared = np.clip(sides, 0, None).prod(1)
        if not (shared > overlap * (area[kept] + area[index] - shared)).any():
            kept.append(int(index))
    return kept


def read_windows(path: str) -> dict[str, list[tuple[int, int, int, int]]]:
    """Windows by image, from a table with the columns filename, ymin, xmin, ymax, xmax.

    Raises:
        CafxError: it is not such a table.
    """
    from cafx.kernel import CafxError

    found: dict[str, list[tuple[int, int, int, int]]] = {}
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


def draw(image: Any, found: list[Detection], path: Path) -> None:
    """Write a picture with a box, a label and a score for each detection, the best on top."""
    from cafx.kernel.files import atomic_write
    from cafx_lib_feed.images import cv2, encode

    picture = image.copy()
    for each in reversed(found):
        top, left, bottom, right = each.window
        colour = COLOURS[each.number % len(COLOURS)]
        cv2().rectangle(picture, (left, top), (right - 1, bottom - 1), colour, 2)
        text, font = f"{each.label} {each.score:.2f}", cv2().FONT_HERSHEY_SIMPLEX
        (width, height), _ = cv2().getTextSize(text, font, TEXT_SCALE, 1)
        base = top - TEXT_GAP if top > height + 2 * TEXT_GAP else top + height + TEXT_GAP
        cv2().rectangle(picture, (left, base - height - TEXT_GAP), (left + width, base + TEXT_GAP), colour, -1)
        cv2().putText(picture, text, (left, base), font, TEXT_SCALE, (255, 255, 255), 1)
    with atomic_write(path) as file:
        file.write(encode(picture, path.suffix, f"'{path}'"))


def _print(path: str, found: list[Detection]) -> None:
    click.echo(f"{path}: {len(found)} detection{'s' * (len(found) != 1)}")
    for each in found:
        top, left, bottom, right = each.window
        click.echo(f"  {each.score:.4f}  {each.label}  ({left}, {top}) to ({right}, {bottom})")


def _write(path: str, rows: list[tuple[Any, ...]]) -> None:
    import io

    from cafx.kernel.files import atomic_write

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    writer.writerows(rows)
    with atomic_write(Path(path)) as file:
        file.write(text.getvalue().encode())
