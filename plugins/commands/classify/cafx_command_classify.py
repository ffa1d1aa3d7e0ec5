"""``cafx classify``: the most likely classes of images."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.lazy import Settings
from cafx.cli.options import EngineChoice, engine_options, json_option, split_commas, weights_option

if TYPE_CHECKING:
    from cafx_lib_inputs import Scorer

Classes = list[tuple[int, str, float]]
"""Number, name and score of some classes, the best first."""
TEN = 10


@click.command()
@click.argument("model", type=click.Path(dir_okay=False))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE…")
@weights_option
@click.option("--labels", type=click.Path(dir_okay=False), metavar="FILE", help="Names of the classes, one per line.")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, metavar="N", help="Classes per image.")
@click.option(
    "--mean", metavar="M", help="Mean to subtract: a .binaryproto or .npy file, or values as 104,117,123 (BGR)."
)
@click.option("--scale", type=float, default=1.0, show_default=True, metavar="F", help="Factor after the mean.")
@click.option("--size", metavar="HxW", help="Resize images to this before cropping (default: the net's input).")
@click.option(
    "--crops", type=click.Choice(["1", "10"]), default="1", show_default=True,
    help="Score the central crop, or average ten: corners, centre, and their mirror images.",
)  # fmt: skip
@click.option("--output", metavar="BLOB", help="Blob with the scores (default: the last output).")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Crops per pass (default: the net's batch size).")
@engine_options
@click.option("--csv", "as_csv", is_flag=True, help="Print a table: file, rank, class, label, score.")
@json_option
@click.pass_obj
def classify(
    settings: Settings,
    model: str,
    images: tuple[str, ...],
    weights: tuple[str, ...],
    labels: str | None,
    top: int,
    as_csv: bool,
    as_json: bool,
    engine: EngineChoice,
    size: str | None,
    crops: str,
    **options: Any,
) -> None:
    """Print the most likely classes of each IMAGE: files, folders or patterns such as 'photos/**/*.jpg'.

    MODEL is a deploy prototxt. Pixels are 0 to 255 in the order BGR, as in Caffe's data layers.

    \b
    Example:
    cafx classify deploy.prototxt photos/ --weights caffenet.caffemodel \\
        --labels synset_words.txt --mean imagenet_mean.binaryproto --size 256x256
    """
    if not weights:
        raise click.UsageError("Classifying needs trained weights: --weights FILE.")
    if as_csv and as_json:
        raise click.UsageError("Choose one of --csv and --json.")
    from cafx_lib_inputs import Scorer, find_images, read_labels

    paths, names = find_images(images), read_labels(labels) if labels else None
    target = _size(size)
    chosen = {"engine": engine, "weights": split_commas(weights), "keep": "outputs", "trust": True}
    with settings.net(model, "TEST", **chosen) as net:
        scorer = Scorer(net, **options)
        rows = (
            (path, _best(scores, names, top, labels)) for path, scores in _scores(scorer, paths, target, int(crops))
        )
        (_print_json if as_json else _print_csv if as_csv else _print_text)(rows)


def _size(text: str | None) -> tuple[int, int] | None:
    if not text:
        return None
    height, _, width = text.lower().replace(",", "x").partition("x")
    if not (height.isdigit() and (width or height).isdigit() and int(height)):
        raise click.BadParameter(f"{text!r} is not a size; try --size 256x256", param_hint="--size")
    return int(height), int(width or height)


def _scores(scorer: Scorer, paths: list[str], size: tuple[int, int] | None, crops: int) -> Iterator[tuple[str, Any]]:
    """Each path with the mean scores of its crops."""
    import numpy as np

    from cafx_lib_feed.images import read_image

    def inputs() -> Iterator[Any]:
        for path in paths:
            image = read_image(path, color=scorer.channels != 1, height=(size or (0, 0))[0], width=(size or (0, 0))[1])
            yield from map(scorer.prepare, _crops(image, scorer, size, crops))

    scores = scorer.scores(inputs())
    for path in paths:
        yield path, np.mean([next(scores) for _ in range(crops)], axis=0)


def _crops(image: Any, scorer: Scorer, size: tuple[int, int] | None, count: int) -> Iterator[Any]:
    """The central crop of the net's size; or corners, centre and their mirror images. Without a size, the image."""
    from cafx.kernel import CafxError

    height, width = scorer.height, scorer.width
    if size is None and count == 1:
        yield image
        return
    bottom, right = image.shape[0] - height, image.shape[1] - width
    if min(bottom, right) < 0:
        found, expected = f"{image.shape[0]}x{image.shape[1]}", f"at least {height}x{width}, the net's input"
        raise CafxError("images are smaller than the crops", found=found, expected=expected, remedy="--size HxW")
    centre = (bottom // 2, right // 2)
    for top, left in [(0, 0), (0, right), (bottom, 0), (bottom, right), centre] if count == TEN else [centre]:
        crop = image[top : top + height, left : left + width]
        yield crop
        if count == TEN:
            yield crop[:, ::-1]


def _best(scores: Any, names: list[str] | None, top: int, source: str | None) -> Classes:
    from cafx.kernel import CafxError

    if names and len(names) != len(scores):
        raise CafxError(
            "wrong number of labels", where=source, found=len(names), expected=f"{len(scores)}, one per class"
        )
    order = sorted(range(len(scores)), key=lambda number: (-scores[number], number))[:top]
    return [(number, names[number] if names else str(number), float(scores[number])) for number in order]


def _print_text(rows: Iterator[tuple[str, Classes]]) -> None:
    for path, classes in rows:
        click.echo(path)
        for _, name, score in classes:
            click.echo(f"  {score:.4f}  {name}")


def _print_csv(rows: Iterator[tuple[str, Classes]]) -> None:
    click.echo("file,rank,class,label,score")
    for path, classes in rows:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows((path, rank, *found) for rank, found in enumerate(classes, start=1))
        click.echo(text.getvalue(), nl=False)


def _print_json(rows: Iterator[tuple[str, Classes]]) -> None:
    fields = ("class", "label", "score")
    found = [{"file": path, "top": [dict(zip(fields, each, strict=True)) for each in best]} for path, best in rows]
    click.echo(json.dumps(found))
