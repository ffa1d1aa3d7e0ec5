"""``cafx compute-image-mean``: the mean image of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cafx_lib_feed.tools import in_order, progress, reading, threads_option

if TYPE_CHECKING:
    from pathlib import Path

LEGACY_DIMS = (1, 2, 3, 4)
DATA_FIELD = 5
"""Field numbers of BlobProto: num, channels, height, width; data."""
CHUNK = 64
"""Number of images that one thread sums at a time."""


@click.command()
@click.argument("database", metavar="DB", type=click.Path(file_okay=False))
@click.argument("out", metavar="[MEAN]", required=False, type=click.Path(dir_okay=False))
@click.option("--backend", "-b", metavar="NAME", help="LMDB or LEVELDB (default: detected).")
@threads_option
def compute_image_mean(database: str, out: str | None, backend: str | None, threads: int) -> None:
    """Compute the mean image of DB, print the mean of each channel and write the image to MEAN.

    Images are streamed, not loaded at once. MEAN is a binaryproto, for mean_file in a net.

    Example: cafx compute-image-mean train_lmdb mean.binaryproto
    """
    from pathlib import Path

    with reading(database, backend) as reader:
        count, total = _sum(reader, threads)
    mean = (total / count).astype("<f4")
    if out:
        _write(Path(out), mean)
        click.echo(f"{out}: mean of {count} images")
    for channel, value in enumerate(mean.mean(axis=(1, 2), dtype="f8")):
        click.echo(f"mean_value channel [{channel}]: {value:g}")


def _sum(reader: Any, threads: int) -> tuple[int, Any]:
    """The number of images, and their sum in float64."""
    import itertools

    from cafx_lib_feed.datum import DatumReader

    datums, items = DatumReader(), reader.items()
    chunks = iter(lambda: [(key, datums.read(key, v)) for key, v in itertools.islice(items, CHUNK)], [])
    count, total, shape = 0, None, None
    with progress(in_order(_sum_chunk, chunks, threads), None, "summing") as sums:
        for number, partial_sum, key in sums:
            if total is None:
                total, shape = partial_sum.astype("f8"), partial_sum.shape
            else:
                _check_shape(key, partial_sum.shape, shape)
                total += partial_sum
            count += number
    return count, total


def _sum_chunk(chunk: list[tuple[bytes, Any]]) -> tuple[int, Any, bytes]:
    """The number of images in a chunk, their sum, and the first key."""
    import numpy as np

    from cafx_lib_feed.datum import key_text
    from cafx_lib_feed.images import decode

    total: Any = None
    for key, example in chunk:
        pixels = example.pixels
        if pixels is None:
            pixels = decode(example.image, None, f"of item {key_text(key)}").transpose(2, 0, 1)
        if total is None:
            total = np.zeros(pixels.shape, np.uint32 if pixels.dtype == np.uint8 else np.float64)
        _check_shape(key, pixels.shape, total.shape)
        total += pixels
    return len(chunk), total, chunk[0][0]


def _check_shape(key: bytes, shape: Any, expected: Any) -> None:
    from cafx.kernel import CafxError
    from cafx.kernel.blob import shape_text
    from cafx_lib_feed.datum import key_text

    if shape != expected:
        raise CafxError(
            f"item {key_text(key)} differs in shape from the items before it",
            found=shape_text(shape),
            expected=shape_text(expected),
            remedy="convert the images with --resize",
        )


def _write(path: Path, mean: Any) -> None:
    """Write a BlobProto with the legacy fields for four dimensions, as Caffe's tool does."""
    from cafx.kernel.files import atomic_write
    from cafx_format_binaryproto import wire

    head = b"".join(
        wire.varint(field << 3) + wire.varint(length)
        for field, length in zip(LEGACY_DIMS, (1, *mean.shape), strict=True)
    )
    with atomic_write(path) as file:
        file.write(head)
        wire.write_message(file, DATA_FIELD, [mean.tobytes()])
