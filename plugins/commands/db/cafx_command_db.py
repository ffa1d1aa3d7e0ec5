"""``cafx db``: what is in a database."""

from __future__ import annotations

import collections
from typing import Any

import click

from cafx_lib_feed.tools import reading

BAR = 40


@click.group()
def db() -> None:
    """Look into databases.

    Example: cafx db inspect train_lmdb
    """


@db.command()
@click.argument("database", metavar="DB", type=click.Path(file_okay=False))
@click.option("--backend", "-b", metavar="NAME", help="LMDB or LEVELDB; default what is there.")
@click.option("--limit", "-n", type=click.IntRange(1), help="Look at the first N items only.")
@click.option("--thumbnails", metavar="OUT.png", type=click.Path(dir_okay=False), help="Draw some of its images.")
@click.option("--columns", type=click.IntRange(1, 100), default=8, show_default=True, help="Thumbnails a row.")
@click.option("--side", type=click.IntRange(8, 1024), default=64, show_default=True, help="Pixels a thumbnail.")
@click.option("--rgb", is_flag=True, help="Its pixels are red first, as CIFAR-10's are; else blue first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def inspect(
    database: str, backend: str | None, limit: int | None, thumbnails: str | None, columns: int,
    side: int, rgb: bool, as_json: bool,
) -> None:  # fmt: skip
    """Count the items of DB, their shapes and their labels, and draw thumbnails.

    Example: cafx db inspect train_lmdb --thumbnails train.png
    """
    import json

    with reading(database, backend) as reader:
        found = _look(reader, limit)
        drawn = _sheet(reader, columns, side, rgb) if thumbnails else None
    if thumbnails:
        _save(thumbnails, drawn)
    if as_json:
        click.echo(json.dumps({"database": database, **found}))
        return
    looked = "" if found["looked_at"] == found["items"] else f" ({found['looked_at']} looked at)"
    click.echo(f"{database}: {found['items']} items{looked}, {found['bytes']:,} bytes")
    click.echo(f"keys: {found['first_key']} ... {found['last_key']}")
    for shape, count in found["shapes"].items():
        click.echo(f"shape {shape}: {count}")
    most = max(found["labels"].values())
    for label, count in found["labels"].items():
        click.echo(f"label {label:>6}: {count:>8} {'#' * max(1, BAR * count // most)}")
    if thumbnails:
        click.echo(thumbnails)


def _look(reader: Any, limit: int | None) -> dict[str, Any]:
    """What items hold, counted in one pass."""
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
        "items": len(reader), "looked_at": sum(labels.values()), "bytes": size,
        "first_key": first.decode("utf-8", "backslashreplace"),
        "last_key": last.decode("utf-8", "backslashreplace"),
        "shapes": dict(shapes.most_common()), "labels": dict(sorted(labels.items())),
    }  # fmt: skip


def _image(key: bytes, example: Any) -> Any:
    """An item's image as H×W×C."""
    from cafx_lib_feed.datum import key_text
    from cafx_lib_feed.images import decode

    if example.pixels is not None:
        return example.pixels.transpose(1, 2, 0)
    return decode(example.image, None, f"of item {key_text(key)}")


def _sheet(reader: Any, columns: int, side: int, rgb: bool) -> Any:
    """The first images of a database, as many rows as columns, in one picture."""
    import itertools

    import numpy as np

    from cafx_lib_feed.datum import DatumReader
    from cafx_lib_feed.images import resize

    datums, small = DatumReader(), []
    for key, value in itertools.islice(reader.items(), columns * columns):
        image = _image(key, datums.read(key, value))
        if image.dtype != np.uint8:
            low, high = float(image.min()), float(image.max())
            image = ((image - low) * (255 / (high - low or 1))).astype(np.uint8)
        image = image[:, :, :3] if image.shape[2] >= 3 else image[:, :, :1].repeat(3, axis=2)
        small.append(resize(np.ascontiguousarray(image[:, :, ::-1] if rgb else image), side, side))
    rows = -(-len(small) // columns)
    sheet = np.full((rows * side, columns * side, 3), 255, np.uint8)
    for index, image in enumerate(small):
        top, left = index // columns * side, index % columns * side
        sheet[top : top + side, left : left + side] = image
    return sheet


def _save(path: str, sheet: Any) -> None:
    from pathlib import Path

    from cafx.kernel.net import atomic_write
    from cafx_lib_feed.images import encode

    with atomic_write(Path(path)) as file:
        file.write(encode(sheet, ".png", path))
