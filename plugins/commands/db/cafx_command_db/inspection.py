"""``cafx db inspect``: items, shapes and labels of a database."""

from __future__ import annotations

import collections
from typing import Any

import click

from cafx.cli.options import json_option
from cafx_lib_feed.tools import reading

BAR_LENGTH = 40
"""Characters of the longest bar of the histogram of labels."""


@click.command()
@click.argument("database", metavar="DB", type=click.Path(file_okay=False))
@click.option("--backend", "-b", metavar="NAME", help="LMDB or LEVELDB (default: detected).")
@click.option("--limit", "-n", type=click.IntRange(1), metavar="N", help="Inspect only the first N items.")
@click.option(
    "--thumbnails", metavar="OUT.png", type=click.Path(dir_okay=False), help="Write a picture of the first images."
)
@click.option(
    "--columns", type=click.IntRange(1, 100), metavar="N", default=8, show_default=True, help="Thumbnails per row."
)
@click.option(
    "--side", type=click.IntRange(8, 1024), metavar="N", default=64, show_default=True, help="Thumbnail size in pixels."
)
@click.option("--rgb", is_flag=True, help="Pixels are RGB, not BGR.")
@json_option
def inspect(
    database: str,
    backend: str | None,
    limit: int | None,
    thumbnails: str | None,
    columns: int,
    side: int,
    rgb: bool,
    as_json: bool,
) -> None:
    """Count the items, shapes and labels of DB, and draw thumbnails.

    Example: cafx db inspect train_lmdb --thumbnails train.png
    """
    import json

    with reading(database, backend) as reader:
        summary = _summarise(reader, limit)
        sheet = _thumbnails(reader, columns, side, rgb) if thumbnails else None
    if thumbnails:
        _save(thumbnails, sheet)
    if as_json:
        click.echo(json.dumps({"database": database, **summary}))
        return
    inspected = "" if summary["looked_at"] == summary["items"] else f" ({summary['looked_at']} inspected)"
    click.echo(f"{database}: {summary['items']} items{inspected}, {summary['bytes']:,} bytes")
    click.echo(f"keys: {summary['first_key']} ... {summary['last_key']}")
    for shape, count in summary["shapes"].items():
        click.echo(f"shape {shape}: {count}")
    most = max(summary["labels"].values())
    for label, count in summary["labels"].items():
        click.echo(f"label {label:>6}: {count:>8} {'#' * max(1, BAR_LENGTH * count // most)}")
    if thumbnails:
        click.echo(thumbnails)


def _summarise(reader: Any, limit: int | None) -> dict[str, Any]:
    """Sizes, keys, and counts of shapes and labels, in one pass."""
    import itertools

    from cafx.kernel.blob import shape_text
    from cafx_lib_feed.datum import DatumReader

    datums = DatumReader()
    shapes: collections.Counter[str] = collections.Counter()
    labels: collections.Counter[int] = collections.Counter()
    size, first, last = 0, b"", b""
    for key, value in itertools.islice(reader.items(), limit):
        first, last, size = first or key, key, size + len(value)
        example = datums.read(key, value)
        labels[example.label] += 1
        image = _image(key, example)
        kind = "encoded" if example.pixels is None else str(example.pixels.dtype)
        shapes[f"{shape_text((image.shape[2], *image.shape[:2]))} {kind}"] += 1
    return {
        "items": len(reader),
        "looked_at": sum(labels.values()),
        "bytes": size,
        "first_key": first.decode("utf-8", "backslashreplace"),
        "last_key": last.decode("utf-8", "backslashreplace"),
        "shapes": dict(shapes.most_common()),
        "labels": dict(sorted(labels.items())),
    }


def _image(key: bytes, example: Any) -> Any:
    """The image of an item as H×W×C."""
    from cafx_lib_feed.datum import key_text
    from cafx_lib_feed.images import decode

    if example.pixels is not None:
        return example.pixels.transpose(1, 2, 0)
    return decode(example.image, None, f"of item {key_text(key)}")


def _thumbnails(reader: Any, columns: int, side: int, rgb: bool) -> Any:
    """A picture of the first images of a database, with as many rows as columns."""
    import itertools

    import numpy as np

    from cafx_lib_feed.datum import DatumReader
    from cafx_lib_feed.images import resize
    from cafx_lib_pictures import image_grid

    datums, images = DatumReader(), []
    for key, value in itertools.islice(reader.items(), columns * columns):
        image = _image(key, datums.read(key, value))
        if image.dtype != np.uint8:
            low, high = float(image.min()), float(image.max())
            image = ((image - low) * (255 / (high - low or 1))).astype(np.uint8)
        image = image[:, :, :3] if image.shape[2] >= 3 else image[:, :, :1].repeat(3, axis=2)
        images.append(resize(np.ascontiguousarray(image[:, :, ::-1] if rgb else image), side, side))
    return image_grid(images, columns)


def _save(path: str, sheet: Any) -> None:
    from pathlib import Path

    from cafx.kernel.files import atomic_write
    from cafx_lib_feed.images import encode

    with atomic_write(Path(path)) as file:
        file.write(encode(sheet, ".png", path))
