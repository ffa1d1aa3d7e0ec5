"""``cafx convert-mnist``: a database from the files of MNIST."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cafx_lib_feed.tools import backend_option, create, progress, write_all

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase

IMAGES, LABELS = 2051, 2049
"""Magic numbers of idx files of bytes with three axes and with one."""
GZIP = b"\x1f\x8b"


@click.command()
@click.argument("images", type=click.Path(dir_okay=False))
@click.argument("labels", type=click.Path(dir_okay=False))
@click.argument("out", metavar="DB", type=click.Path())
@click.option("--pairs", is_flag=True, help="Random pairs: images of two channels, label 1 if both show one digit.")
@click.option("--seed", type=click.IntRange(0), metavar="N", default=0, show_default=True, help="Seed for --pairs.")
@backend_option
def convert_mnist(images: str, labels: str, out: str, pairs: bool, seed: int, backend: str) -> None:
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
    examples = _pairs(pixels, classes, seed) if pairs else zip(pixels[:, None], classes, strict=True)
    items = (
        (f"{number:08d}".encode(), datum_bytes(image, int(label))) for number, (image, label) in enumerate(examples)
    )
    with create(out, backend) as writer, progress(items, len(pixels), "converting") as shown:
        count = write_all(writer, shown)
    kind = "pairs of images" if pairs else "images"
    click.echo(f"{count} {kind} of {pixels.shape[1]}×{pixels.shape[2]} written to {out}")


def _pairs(pixels: Any, classes: Any, seed: int) -> Iterator[tuple[Any, bool]]:
    """As many random pairs as there are images, and whether their labels are equal."""
    import numpy as np

    from cafx.kernel.net import Streams

    first, second = Streams(seed)["convert-mnist"].integers(len(pixels), size=(2, len(pixels)))
    for one, other in zip(first, second, strict=True):
        yield np.stack([pixels[one], pixels[other]]), classes[one] == classes[other]


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
    from cafx.kernel.files import read_file, sniff

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


def cases() -> Iterable[CommandCase]:
    """Three digits, and pairs of them."""
    from cafx.conformance.kinds.command import CommandCase
    from cafx.conformance.kinds.files import database_contents

    def prepare(folder: Path) -> None:
        (folder / "images").write_bytes(struct.pack(">4I", IMAGES, 3, 4, 5) + bytes(range(60)))
        (folder / "labels").write_bytes(struct.pack(">2I", LABELS, 3) + bytes([7, 0, 7]))

    run = ["images", "labels", "db"]
    yield CommandCase("digits", run, prepare, ["db"], contents=database_contents)
    yield CommandCase("pairs", [*run, "--pairs"], prepare, ["db"], contents=database_contents)
