"""``cafx convert-cifar10``: databases from the binary files of CIFAR-10."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cafx_lib_feed.tools import backend_option, create, progress, write_all

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
IMAGES_PER_FILE = 10_000
BATCHES = 5
KEY_DIGITS = 5


@click.command()
@click.argument("folder", type=click.Path(file_okay=False))
@click.argument("out", type=click.Path(file_okay=False))
@backend_option
def convert_cifar10(folder: str, out: str, backend: str) -> None:
    """Write the databases cifar10_train_BACKEND and cifar10_test_BACKEND to OUT from the binary files in FOLDER.

    The training set is whichever of data_batch_1–5.bin (optionally gzipped) are found.

    Example: cafx convert-cifar10 cifar-10-batches-bin/ .
    """
    from cafx.kernel import CafxError

    source = Path(folder)
    train = [(i, path) for i in range(BATCHES) for path in _existing(source, f"data_batch_{i + 1}.bin")]
    test = [(0, path) for path in _existing(source, "test_batch.bin")]
    if not train and not test:
        raise CafxError(
            "contains none of CIFAR-10's files",
            where=folder,
            expected="data_batch_1.bin … and test_batch.bin",
            remedy="unpack cifar-10-binary.tar.gz",
        )
    if not Path(out).is_dir():
        raise CafxError("is not a folder", where=out, remedy=f"mkdir -p {out}")
    for name, files in (("train", train), ("test", test)):
        if not files:
            click.echo(f"no {name} files in {folder}", err=True)
            continue
        path = Path(out) / f"cifar10_{name}_{backend.lower()}"
        with create(path, backend) as writer, progress(_items(files), len(files) * IMAGES_PER_FILE, name) as items:
            count = write_all(writer, items)
        click.echo(f"{count} images written to {path}")


def _existing(folder: Path, name: str) -> list[Path]:
    """The file, or else its gzipped version, if either exists."""
    return [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()][:1]


def _read(path: Path) -> bytes:
    """The contents of a file, decompressed if it is gzipped."""
    import gzip

    from cafx.kernel import CafxError
    from cafx.kernel.files import read_file

    try:
        return gzip.decompress(read_file(path)) if path.suffix == ".gz" else read_file(path)
    except (OSError, EOFError) as error:
        raise CafxError(f"cannot be decompressed: {error}", where=str(path)) from None


def _items(files: list[tuple[int, Path]]) -> Iterator[tuple[bytes, bytes]]:
    """Keys and Datums of the images in numbered files."""
    import numpy as np

    from cafx.kernel import CafxError
    from cafx_lib_feed.datum import datum_bytes

    for number, path in files:
        contents = np.frombuffer(_read(path), np.uint8)
        if not contents.size or contents.size % (1 + PIXELS):
            raise CafxError(
                "is not a binary file of CIFAR-10",
                where=str(path),
                found=f"{contents.size} bytes",
                expected=f"a multiple of {1 + PIXELS}",
            )
        for index, row in enumerate(contents.reshape(-1, 1 + PIXELS)):
            key = f"{number * IMAGES_PER_FILE + index:0{KEY_DIGITS}d}".encode()
            yield key, datum_bytes(row[1:].reshape(SHAPE), int(row[0]))


def cases() -> Iterable[CommandCase]:
    """Two training images and two test images."""
    from cafx.conformance.kinds.command import CommandCase
    from cafx.conformance.kinds.files import database_contents

    def prepare(folder: Path) -> None:
        for name in ("in", "out"):
            (folder / name).mkdir()
        for name in ("data_batch_1.bin", "test_batch.bin"):
            (folder / "in" / name).write_bytes(bytes(range(2)) * 3073)

    outputs = ["out/cifar10_train_lmdb", "out/cifar10_test_lmdb"]
    yield CommandCase(
        "lmdb", ["in", "out"], prepare, outputs, contents=lambda folder: database_contents(folder / "out")
    )
