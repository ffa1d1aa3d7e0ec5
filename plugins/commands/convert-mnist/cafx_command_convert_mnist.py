"""``cafx convert-mnist``: a database from the files of MNIST."""

from __future__ import annotations

import gzip
import struct
from typing import Any

import click

from cafx_lib_feed.tools import backend_option, create, progress, write_all

IMAGES, LABELS = 2051, 2049
"""Magic numbers of idx files of bytes with three axes and with one."""
GZIP = b"\x1f\x8b"


@click.command()
@click.argument("images", type=click.Path(dir_okay=False))
@click.argument("labels", type=click.Path(dir_okay=False))
@click.argument("out", metavar="DB", type=click.Path())
@backend_option
def convert_mnist(images: str, labels: str, out: str, backend: str) -> None:
    """Write MNIST's files IMAGES and LABELS (optionally gzipped) to the database DB.

    \b
    Example:
    cafx convert-mnist train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz \\
        mnist_train_lmdb
    """
    from cafx.kernel import CafxError
    from cafx_lib_feed.datum import datum_bytes

    pixels, classes = read_idx(images, IMAGES), read_idx(labels, LABELS)
    if len(pixels) != len(classes):
        raise CafxError(
            "images and labels differ in number",
            found=f"{len(pixels)} and {len(classes)}",
            remedy="use the two files of one set",
        )
    items = (
        (f"{number:08d}".encode(), datum_bytes(image[None], int(label)))
        for number, (image, label) in enumerate(zip(pixels, classes, strict=True))
    )
    with create(out, backend) as writer, progress(items, len(pixels), "converting") as shown:
        count = write_all(writer, shown)
    click.echo(f"{count} images of {pixels.shape[1]}×{pixels.shape[2]} written to {out}")


def read_idx(path: str, magic: int) -> Any:
    """The contents of an idx file.

    Args:
        path: the file, optionally gzipped.
        magic: `IMAGES` or `LABELS`.

    Raises:
        CafxError: the file is of another kind, or its size does not match its header.
    """
    import numpy as np

    from cafx.kernel import CafxError
    from cafx.kernel.schema import read_file, sniff

    contents = read_file(path)
    if contents.startswith(GZIP):
        try:
            contents = gzip.decompress(contents)
        except (OSError, EOFError) as error:
            raise CafxError(f"cannot be decompressed: {error}", where=path) from None
    axes = 3 if magic == IMAGES else 1
    head = 4 + 4 * axes
    if len(contents) < head or struct.unpack(">I", contents[:4])[0] != magic:
        kind = "images" if axes > 1 else "labels"
        raise CafxError(f"is not a file of MNIST {kind}", where=path, found=sniff(contents))
    shape = struct.unpack(f">{axes}I", contents[4:head])
    if len(contents) - head != int(np.prod(shape, dtype=object)):
        raise CafxError(
            "is truncated or too long",
            where=path,
            found=f"{len(contents) - head} bytes after its header",
            expected="×".join(map(str, shape)),
        )
    return np.frombuffer(contents, np.uint8, offset=head).reshape(shape)
