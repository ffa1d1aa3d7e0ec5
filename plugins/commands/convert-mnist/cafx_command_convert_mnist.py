"""``cafx convert-mnist``: a database of MNIST's files."""

from __future__ import annotations

import gzip
import struct
from typing import Any

import click

from cafx_lib_feed.tools import backend_option, create, progress, write_all

IMAGES, LABELS = 2051, 2049
GZIP = b"\x1f\x8b"


@click.command()
@click.argument("images", type=click.Path(dir_okay=False))
@click.argument("labels", type=click.Path(dir_okay=False))
@click.argument("out", metavar="DB", type=click.Path())
@backend_option
def convert_mnist(images: str, labels: str, out: str, backend: str) -> None:
    """Make the database DB of MNIST's files IMAGES and LABELS, as they are or gzipped.

    Example: cafx convert-mnist train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz mnist_train_lmdb
    """
    from cafx.kernel import CafxError
    from cafx_lib_feed.datum import datum_bytes

    pixels, marks = read_idx(images, IMAGES), read_idx(labels, LABELS)
    if len(pixels) != len(marks):
        raise CafxError(
            "images and labels differ in number", found=f"{len(pixels)} and {len(marks)}",
            remedy="take two files of one set",
        )  # fmt: skip
    items = (
        (f"{number:08d}".encode(), datum_bytes(image[None], int(label)))
        for number, (image, label) in enumerate(zip(pixels, marks, strict=True))
    )
    with create(out, backend) as writer, progress(items, len(pixels), "converting") as shown:
        count = write_all(writer, shown)
    click.echo(f"{count} images of {pixels.shape[1]}×{pixels.shape[2]} written to {out}")


def read_idx(path: str, magic: int) -> Any:
    """The bytes of an idx file as an array; CafxError where it is not what ``magic`` says."""
    import numpy as np

    from cafx.kernel import CafxError
    from cafx.kernel.schema import read_file, sniff

    held = read_file(path)
    if held.startswith(GZIP):
        try:
            held = gzip.decompress(held)
        except (OSError, EOFError) as error:
            raise CafxError(f"cannot be unpacked: {error}", where=path) from None
    axes = 3 if magic == IMAGES else 1
    head = 4 + 4 * axes
    if len(held) < head or struct.unpack(">I", held[:4])[0] != magic:
        raise CafxError(f"is not a file of MNIST's {'images' if axes > 1 else 'labels'}", where=path, found=sniff(held))
    shape = struct.unpack(f">{axes}I", held[4:head])
    if len(held) - head != int(np.prod(shape, dtype=object)):
        raise CafxError(
            "is cut off, or too long", where=path, found=f"{len(held) - head} bytes after its head",
            expected="×".join(map(str, shape)),
        )  # fmt: skip
    return np.frombuffer(held, np.uint8, offset=head).reshape(shape)
