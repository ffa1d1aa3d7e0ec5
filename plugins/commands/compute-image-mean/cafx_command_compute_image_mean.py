"""``cafx compute-image-mean``: the mean image of a database."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from cafx_lib_feed.tools import in_order, progress, reading, threads_option
from cafx_lib_jobs.options import JobChoice, job_options

if TYPE_CHECKING:
    from pathlib import Path

    from cafx.conformance.kinds.command import CommandCase
    from cafx_lib_feed.datum import Example
    from cafx_lib_jobs.hold import Hold
    from cafx_lib_jobs.task import Report

LEGACY_DIMS = (1, 2, 3, 4)
DATA_FIELD = 5
"""Field numbers of BlobProto: num, channels, height, width; data."""
CHUNK = 64
"""Number of images that one thread sums at a time."""
MOST_IMAGES = 16384
"""Images of a slice of a job, at most."""


@click.command()
@click.argument("database", metavar="DB", type=click.Path(file_okay=False))
@click.argument("out", metavar="[MEAN]", required=False, type=click.Path(dir_okay=False))
@click.option("--backend", "-b", metavar="NAME", help="LMDB or LEVELDB (default: detected).")
@threads_option
@job_options
def compute_image_mean(database: str, out: str | None, backend: str | None, threads: int, jobs: JobChoice) -> None:
    """Compute the mean image of DB, print the mean of each channel and write the image to MEAN.

    Images are streamed, not loaded at once. MEAN is a binaryproto, for mean_file in a net. With --executor, workers
    sum slices of DB; the mean is the same in every bit.

    Example: cafx compute-image-mean train_lmdb mean.binaryproto
    """
    from pathlib import Path

    totals = Totals()
    with reading(database, backend) as reader:
        if jobs:
            _sum_in_slices(reader, backend, out, totals, jobs)
        else:
            with in_order(_sum_chunk, _chunks(reader.items()), threads) as sums:
                totals.add_all(sums)
    mean = totals.mean()
    if out:
        _write(Path(out), mean)
        click.echo(f"{out}: mean of {totals.count} images")
    for channel, value in enumerate(mean.mean(axis=(1, 2), dtype="f8")):
        click.echo(f"mean_value channel [{channel}]: {value:g}")


class Totals:
    """The sum of images, from the sums of chunks.

    Sums of bytes are added as integers, hence exactly and in any grouping; sums of floats are added in the order of
    the chunks. The total is therefore the same however the chunks are distributed.

    Attributes:
        count: number of images.
    """

    def __init__(self) -> None:
        self.count = 0
        self._whole: Any = 0
        self._real: Any = None
        self._shape: tuple[int, ...] | None = None

    def add(self, count: int, total: Any, key: bytes) -> None:
        """Add the sum of some images, of which ``key`` is the first.

        Raises:
            CafxError: they differ in shape from those before.
        """
        self._shape = self._shape or total.shape
        _check_shape(key, total.shape, self._shape)
        self.count += count
        if total.dtype.kind == "u":
            self._whole = self._whole + total.astype("u8")
        else:
            self._real = total if self._real is None else self._real + total

    def add_all(self, sums: Iterable[tuple[int, Any, bytes]]) -> None:
        """Add the sums of chunks, in their order."""
        with progress(sums, None, "summing") as shown:
            for each in shown:
                self.add(*each)

    def mean(self) -> Any:
        """The mean image, in float32."""
        whole = self._whole if self._real is None else self._whole + self._real
        return (whole / self.count).astype("<f4")


def _sum_in_slices(reader: Any, backend: str | None, out: str | None, totals: Totals, jobs: JobChoice) -> None:
    """Sum slices of a database."""
    from cafx_lib_jobs.job import Job
    from cafx_lib_jobs.manifest import Manifest
    from cafx_lib_jobs.records import read_arrays

    database, count = str(reader.path), len(reader)
    job = Job(
        function=sum_slice,
        arguments={"database": database, "backend": backend},
        records=range(count),
        manifest=Manifest.of(count, CHUNK, most=MOST_IMAGES),
        label="summing",
        target=out,
        inputs=lambda _: [database],
    )
    with job.outcomes(jobs) as outcomes:
        for outcome in outcomes:
            said = outcome.report.values["chunks"]
            for (number, key), total in zip(said, read_arrays(outcome.out), strict=True):
                totals.add(number, total, bytes.fromhex(key))


def sum_slice(records: Sequence[int], out: Path, hold: Hold, *, database: str, backend: str | None) -> Report:
    """Sum a slice of a database: bytes as one sum, floats as the sums of chunks.

    Args:
        records: numbers of the items.
        out: the path to write to.
        hold: keeps the database open.
        database, backend: the database.
    """
    from cafx.kernel import CafxError
    from cafx_lib_jobs.records import write_arrays
    from cafx_lib_jobs.task import Report

    reader = hold.get(_open, database, backend)
    whole: tuple[int, Any, bytes] | None = None
    said: list[tuple[int, str]] = []

    def sums() -> Iterator[Any]:
        nonlocal whole
        items = itertools.islice(reader.items(records[0]), len(records))
        for count, total, key in map(_sum_chunk, _chunks(items)):
            if total.dtype.kind != "u":
                said.append((count, key.hex()))
                yield total
                continue
            if whole is not None:
                _check_shape(key, total.shape, whole[1].shape)
            before, exact, first = whole or (0, 0, key)
            whole = before + count, exact + total.astype("u8"), first
        if whole is not None:
            said.append((whole[0], whole[2].hex()))
            yield whole[1]

    try:
        write_arrays(out, sums())
    except CafxError as error:
        raise error.at(database) from error.__cause__
    return Report(len(records), values={"chunks": said})


def _open(database: str, backend: str | None) -> Any:
    from cafx_lib_feed.database import open_database
    from cafx_lib_feed.shards import open_all

    return open_all(database, lambda each: open_database(each, backend.upper() if backend else None))


def _chunks(items: Iterator[tuple[bytes, Any]]) -> Iterator[list[tuple[bytes, Example]]]:
    """Keys and Datums of the items, in chunks."""
    from cafx_lib_feed.datum import DatumReader

    datums = DatumReader()
    return iter(lambda: [(key, datums.read(key, v)) for key, v in itertools.islice(items, CHUNK)], [])


def _sum_chunk(chunk: list[tuple[bytes, Example]]) -> tuple[int, Any, bytes]:
    """The number of images in a chunk, their sum (of bytes as uint32), and the first key."""
    import numpy as np

    from cafx_lib_feed.datum import key_text
    from cafx_lib_feed.images import decode

    total: Any = None
    for key, example in chunk:
        pixels = example.pixels
        if pixels is None:
            pixels = decode(example.image, None, f"of item {key_text(key)}").transpose(2, 0, 1)
        if total is None:
            total = np.zeros(pixels.shape, np.uint32)
        _check_shape(key, pixels.shape, total.shape)
        if pixels.dtype != np.uint8 and total.dtype == np.uint32:
            total = total.astype(np.float64)
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


def cases() -> Iterable[CommandCase]:
    """The mean of four images, printed and written."""
    from cafx.conformance.kinds.command import CommandCase
    from cafx.conformance.kinds.files import write_database

    yield CommandCase("printed", ["db"], write_database)
    yield CommandCase("written", ["db", "mean.binaryproto"], write_database, ["mean.binaryproto"])
