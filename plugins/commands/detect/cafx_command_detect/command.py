"""The command ``cafx detect``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.lazy import Settings
from cafx.cli.options import EngineChoice, engine_options, json_option, quiet_option, split_commas, weights_option
from cafx.cli.streams import printable
from cafx_lib_inputs.options import preprocessing_options, tell

if TYPE_CHECKING:
    from cafx_command_detect.search import Detection
    from cafx_lib_preprocessing import Preprocessing


@click.command()
@click.argument("model", type=click.Path(dir_okay=False))
@click.argument("images", nargs=-1, metavar="IMAGE…")
@weights_option
@click.option(
    "--windows",
    type=click.Path(dir_okay=False),
    metavar="FILE.csv",
    help="Windows to score: columns filename, ymin, xmin, ymax, xmax (default: selective search).",
)
@click.option(
    "--max-windows", type=click.IntRange(1), default=500, show_default=True, metavar="N", help="Windows per image."
)
@click.option(
    "--search-width",
    type=click.IntRange(1, 4000),
    default=500,
    show_default=True,
    metavar="N",
    help="Width to which an image is resized for selective search.",
)
@click.option(
    "--pad",
    type=click.IntRange(0),
    default=16,
    show_default=True,
    metavar="N",
    help="Context around a window, in pixels of the net's input; beyond the border is the mean.",
)
@click.option(
    "--crop-mode",
    type=click.Choice(["warp", "square"]),
    default="warp",
    show_default=True,
    help="Warp the window to the net's input, or the square around it.",
)
@click.option("--background", type=click.IntRange(0), metavar="N", help="Class that is no object; it is not reported.")
@click.option(
    "--threshold", type=float, default=0.5, show_default=True, metavar="S", help="Least score of a detection."
)
@click.option(
    "--overlap",
    type=click.FloatRange(0, 1),
    default=0.3,
    show_default=True,
    metavar="F",
    help="Of windows that overlap more (intersection over union), the best is kept.",
)
@preprocessing_options("bilinear")
@click.option("--output", metavar="BLOB", help="Blob with the scores (default: the last output).")
@click.option(
    "--boxes", metavar="BLOB", help="Blob that moves boxes: dx, dy, dw, dh per class, as R-CNN's box regression."
)
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Windows per pass (default: the net's batch size).")
@click.option(
    "--out", type=click.Path(file_okay=False), metavar="DIR", help="Write the pictures, with boxes, to this folder."
)
@click.option(
    "--zoom",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    metavar="N",
    help="Enlarge these pictures, so that labels fit.",
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
    zoom: int,
    table: str | None,
    as_json: bool,
    quiet: bool,
    output: str | None,
    batch: int | None,
    **options: Any,
) -> None:
    """Find objects in each IMAGE: files, folders or patterns such as 'photos/**/*.jpg'.

    MODEL is a deploy prototxt that classifies windows. Each window, with its context, is warped to the net's
    input, as the layer WindowData does. Pixels are 0 to 255 in the order BGR, as in Caffe's data layers.

    \b
    Example:
    cafx detect rcnn_deploy.prototxt photos/ --weights rcnn.caffemodel \\
        --labels classes.txt --out boxes/ --csv detections.csv
    """
    if not weights:
        raise click.UsageError("Detecting needs trained weights: --weights FILE.")
    if not images and not windows:
        raise click.UsageError("Name images, or --windows FILE.csv, which names them.")
    from cafx_command_detect.files import FIELDS, draw, read_windows, write_table
    from cafx_command_detect.search import Search, detections
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
            image, found = detections(scorer, path, proposed, names, Search(**options))
            rows += [each.row(path) for each in found]
            if out:
                draw(image, found, Path(out) / f"{Path(path).stem}.png", zoom)
            if not as_json:
                _print(path, found)
    if table:
        write_table(table, rows)
    if as_json:
        click.echo(json.dumps([dict(zip(FIELDS, row, strict=True)) for row in rows]))


def _print(path: str, found: list[Detection]) -> None:
    click.echo(f"{printable(path)}: {len(found)} detection{'s' * (len(found) != 1)}")
    for each in found:
        top, left, bottom, right = each.window
        click.echo(f"  {each.score:.4f}  {printable(each.label)}  ({left}, {top}) to ({right}, {bottom})")
