"""Jobs whose result is a database: in one, whose items are those of a serial run, or in shards."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from cafx.kernel import CafxError, registry
from cafx_lib_feed.database import checked_target
from cafx_lib_feed.tools import create, write_all
from cafx_lib_jobs.job import Job
from cafx_lib_jobs.manifest import Manifest
from cafx_lib_jobs.memory import keep_memory
from cafx_lib_jobs.options import JobChoice
from cafx_lib_jobs.records import read_items, write_items
from cafx_lib_jobs.shards import shard_paths
from cafx_lib_jobs.task import Function, Outcome

MOST_IMAGES = 2048
"""Images of a slice, at most: their pixels lie in a file until the database is complete."""


def write_part(path: Path, items: Iterable[tuple[bytes, bytes]], backend: str | None) -> int:
    """Write a task's output: a shard, or a file of items that are put into the database later.

    Args:
        path: the task's draft.
        items: keys and values, in order.
        backend: the kind of the shard; None for a file.

    Returns:
        The number of items.

    Raises:
        CafxError: it cannot be written, or a shard would be empty.
    """
    if backend is None:
        return write_items(path, items)
    with registry().load("database", backend.upper()).create(path) as writer:
        count = write_all(writer, items)
    if not count:
        raise CafxError("a shard would be empty: none of its records can be read", remedy="ask for fewer shards")
    return count


@attrs.frozen(kw_only=True)
class DatabaseJob:
    """A job that writes items of a database.

    Attributes:
        function: as of `Job`; its arguments also have ``backend``, for `write_part`.
        arguments, records, inputs: as of `Job`.
        out: the database.
        backend: its kind.
        shards: number of databases to write instead; None for one, which has the items of all slices in order.
        label, unit: as of `Job`.
    """

    function: Function
    arguments: Mapping[str, Any]
    records: Sequence[Any]
    inputs: Callable[[Sequence[Any]], Sequence[str]]
    out: str
    backend: str
    shards: int | None = None
    label: str = "converting"
    unit: str = "images"

    @contextlib.contextmanager
    def outcomes(self, choice: JobChoice) -> Iterator[Iterator[Outcome]]:
        """As `Job.outcomes`; an outcome is yielded after its items are in the database.

        Raises:
            CafxError: the database exists, or there are more shards than records.
        """
        checked_target(Path(self.out))
        registry().load("database", self.backend.upper())
        if self.shards and self.shards > len(self.records):
            raise CafxError("more shards than records", found=self.shards, expected=f"{len(self.records)} at most")
        count = len(self.records)
        job = Job(
            function=self.function,
            arguments={**self.arguments, "backend": self.backend if self.shards else None},
            records=self.records,
            manifest=Manifest.into(count, self.shards) if self.shards else Manifest.of(count, most=MOST_IMAGES),
            label=self.label,
            unit=self.unit,
            target=self.out,
            inputs=self.inputs,
            outs=shard_paths(self.out, self.shards) if self.shards else (),
        )
        with job.outcomes(choice if choice else attrs.evolve(choice, executor="local")) as outcomes:
            if self.shards:
                yield outcomes
                return
            keep_memory()
            with create(self.out, self.backend) as writer:
                yield (self._stored(writer, outcome) for outcome in outcomes)

    @staticmethod
    def _stored(writer: Any, outcome: Outcome) -> Outcome:
        write_all(writer, read_items(outcome.out))
        return outcome
