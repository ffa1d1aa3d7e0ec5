"""Conversion as a job: slices of the images, each to a part of the database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from cafx.kernel import CafxError
from cafx_command_convert_annotations.convert import Conversion, Numbered, valid
from cafx_command_convert_annotations.entries import Entry, Thing
from cafx_lib_jobs.databases import DatabaseJob, write_part
from cafx_lib_jobs.hold import Hold
from cafx_lib_jobs.options import JobChoice
from cafx_lib_jobs.task import Outcome, Report

Record = Sequence[Any]
"""An image as plain values: its number and what is wrong with it; or its number, None, and the fields of an `Entry`."""


@contextlib.contextmanager
def outcomes(
    conversion: Conversion,
    entries: Sequence[Numbered],
    stop: bool,
    database: tuple[str, str, int | None],
    jobs: JobChoice,
) -> Iterator[Iterator[Outcome]]:
    """Run the job; within the ``with`` block, iterate over the outcomes of the slices.

    Args:
        conversion: how images are converted.
        entries: the images.
        stop: whether an image that cannot be used is an error.
        database: its path and kind, and the number of shards or None.
        jobs: what runs it.
    """
    out, backend, shards = database
    job = DatabaseJob(
        function=convert_slice,
        arguments={"conversion": attrs.asdict(conversion), "stop": stop},
        records=[plain(each) for each in entries],
        inputs=lambda records: [conversion.root + record[2] for record in records if record[1] is None],
        out=out,
        backend=backend,
        shards=shards,
    )
    with job.outcomes(jobs) as found:
        yield found


def plain(numbered: Numbered) -> Record:
    """An image as plain values."""
    number, entry = numbered
    if isinstance(entry, CafxError):
        return [number, str(entry)]
    return [number, None, *attrs.astuple(entry)]


def numbered(record: Record) -> Numbered:
    """An image from plain values.

    Example:
        >>> entry = Entry("a.jpg", "a", (4, 5), (Thing("cat", (0.0, 1.0, 2.0, 3.0), False),))
        >>> numbered(plain((7, entry))) == (7, entry)
        True
    """
    if record[1] is not None:
        return record[0], CafxError(record[1])
    number, _, path, name, size, listed = record
    things = tuple(Thing(each[0], tuple(each[1]), each[2]) for each in listed)
    return number, Entry(path, name, size and tuple(size), things)


def convert_slice(
    records: Sequence[Record], out: Path, hold: Hold, *, conversion: dict[str, Any], stop: bool, backend: str | None
) -> Report:
    """Convert a slice of the images to a database, or without ``backend`` to a file of items.

    Args:
        records: the images.
        out: the path to write to.
        hold: not used.
        conversion: the fields of a `Conversion`.
        stop: raise what is wrong with an image or a box.
        backend: kind of the database.
    """
    how = Conversion(**conversion)
    bad: list[str] = []
    sizes: dict[int, str] = {}

    def items() -> Iterator[tuple[bytes, bytes]]:
        for result in valid(map(how.convert, map(numbered, records)), bad, stop):
            if len(sizes) < 2:  # one that differs from the first is enough
                sizes.setdefault(result.size, result.name)
            yield result.key, result.value

    count = write_part(out, items(), backend)
    return Report(count, bad, {"sizes": [(name, size) for size, name in sizes.items()]})
