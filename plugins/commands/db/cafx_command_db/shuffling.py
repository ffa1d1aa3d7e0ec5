"""``cafx db shuffle``: a database in random order."""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from cafx_lib_feed.tools import create, reading

if TYPE_CHECKING:
    from cafx_lib_feed.database import Reader

BUCKET = 256 << 20
"""Bytes of a bucket, on average."""
MOST_BUCKETS = 200
"""Files that are written at the same time."""
SIZES = struct.Struct("<QQ")


@click.command()
@click.argument("database", metavar="DB", type=click.Path(file_okay=False))
@click.argument("out", metavar="OUT", type=click.Path())
@click.option("--seed", type=click.IntRange(0), metavar="N", default=0, show_default=True, help="Seed of the order.")
@click.option("--backend", "-b", metavar="NAME", help="Kind of the new database: lmdb, leveldb, … (default: the same).")
def shuffle(database: str, out: str, seed: int, backend: str | None) -> None:
    """Write the items of DB in random order to the new database OUT.

    As the order of a database is that of its keys, the number with which a key begins is replaced by the item's new
    position. A database of any size takes little memory; until OUT is complete, it takes twice its size on disk.

    Example: cafx db shuffle train_lmdb shuffled_lmdb --seed 1
    """
    from cafx.kernel.net import Streams
    from cafx_command_db.items import kind_of, numbered, store

    with reading(database, None) as reader, create(out, backend or kind_of(database)) as writer:
        rng, count = Streams(seed)["db-shuffle"], len(reader)
        with _buckets(reader, Path(out), rng) as buckets:
            store(writer, numbered(_shuffled(buckets, rng), count), count, "shuffling")
    click.echo(f"{count} items written to {out}")


@contextlib.contextmanager
def _buckets(reader: Reader, out: Path, rng: Any) -> Iterator[list[Path]]:
    """Deal the items into files at random; the files are removed at the end.

    Each file then is a random subset in an order that does not matter; shuffling each gives all orders with equal
    probability.

    Source: Sandelius, A Simple Randomization Procedure, 1962.
    """
    import tempfile

    from cafx.kernel import CafxError
    from cafx_lib_feed.tools import progress

    size = sum(len(value) for _, value in reader.items())
    number = min(MOST_BUCKETS, -(-size // BUCKET) or 1)
    folder = tempfile.TemporaryDirectory(prefix=f".{out.name[:200]}.", suffix=".part", dir=out.parent)
    with folder as name, contextlib.ExitStack() as stack:
        paths = [Path(name) / str(each) for each in range(number)]
        files = [stack.enter_context(path.open("wb")) for path in paths]
        try:
            with progress(reader.items(), len(reader), "dealing") as shown:
                for key, value in shown:
                    _append(files[int(rng.integers(number))], key, value)
            for file in files:
                file.close()
        except OSError as error:
            remedy = "until it is complete, the new database takes twice its size"
            raise CafxError(f"cannot be written: {error.strerror}", where=str(out), remedy=remedy) from error
        yield paths


def _append(file: IO[bytes], key: bytes, value: Any) -> None:
    file.write(SIZES.pack(len(key), len(value)))
    file.write(key)
    file.write(value)


def _shuffled(buckets: list[Path], rng: Any) -> Iterator[tuple[bytes, bytes]]:
    """The items of each bucket in random order; only their positions are in memory."""
    for path in buckets:
        if not path.stat().st_size:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            starts, at = [], 0
            while at < len(mapped):
                starts.append(at)
                at += SIZES.size + sum(SIZES.unpack_from(mapped, at))
            for number in rng.permutation(len(starts)):
                start = starts[number] + SIZES.size
                key, value = SIZES.unpack_from(mapped, starts[number])
                yield mapped[start : start + key], mapped[start + key : start + key + value]
        path.unlink()
