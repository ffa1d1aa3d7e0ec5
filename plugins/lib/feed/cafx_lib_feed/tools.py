"""Shared by commands that read and write databases."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from cafx_lib_feed.database import Reader, Writer

BYTES_PER_WRITE, ITEMS_PER_WRITE = 1 << 20, 1000
"""Size of a transaction, at most by about one item: a larger one leaves the processor's caches."""
JOBS_PER_THREAD = 4
UNFINISHED = ".part"
"""Suffix of a database that is not complete."""
T = TypeVar("T")
R = TypeVar("R")

backend_option = click.option(
    "--backend", "-b", metavar="NAME", default="lmdb", show_default=True, help="Database plugin: lmdb, leveldb, …"
)
threads_option = click.option(
    "--threads",
    "-j",
    type=click.IntRange(1),
    metavar="N",
    default=os.cpu_count() or 1,
    help="Worker threads (default: all cores).",
)


@contextmanager
def create(path: str | Path, backend: str, *, append: bool = False, resumable: bool = False) -> Iterator[Writer]:
    """Open a database for writing, within a ``with`` block.

    A new database is written under another name and renamed once it is complete, so that one left by a program that
    was killed is not taken for whole. If the block raises an error, or the database is empty, it is removed; an
    unfinished one that is resumable is kept as ``path.part``.

    Args:
        path: its folder.
        backend: its kind, in any case.
        append: the database may exist, whole or unfinished.
        resumable: keep an unfinished database.

    Raises:
        CafxError: the database cannot be created, or the kind is unknown.
    """
    from cafx.kernel import registry

    kind, path = registry().load("database", backend.upper()), Path(path)
    unfinished = path.with_name(path.name + UNFINISHED)
    if append and path.exists():
        with kind.create(path, append=True) as writer:
            yield writer
        return
    draft = _draft(path, unfinished if resumable else None, append)
    keep = complete = False
    try:
        with kind.create(draft, append=True) as writer:
            try:
                yield writer
                complete = True
            finally:
                is_empty = writer.last_key() is None
                keep = resumable and not is_empty
                complete = complete and not is_empty
        if complete:
            draft.rename(path)
    finally:
        if not keep and draft.is_dir():
            shutil.rmtree(draft)


def _draft(path: Path, unfinished: Path | None, resume: bool) -> Path:
    """A folder in which to write a database: that of an unfinished one, or a new one."""
    from cafx.kernel import CafxError
    from cafx_lib_feed.database import checked_target

    checked_target(path)
    if unfinished is None:
        return path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    if unfinished.exists() and not resume:
        raise CafxError(
            "is unfinished", where=str(unfinished), remedy="continue with --resume, or remove it to begin again"
        )
    return unfinished


@contextmanager
def reading(path: str, backend: str | None) -> Iterator[Reader]:
    """Open a database for reading, within a ``with`` block; errors about its items name the database.

    Args:
        path: its folder; or several databases, see `cafx_lib_feed.shards.database_paths`.
        backend: its kind, in any case (default: detected).

    Raises:
        CafxError: the database cannot be opened.
    """
    from cafx.kernel import CafxError
    from cafx_lib_feed.database import open_database
    from cafx_lib_feed.shards import open_all

    with open_all(path, lambda each: open_database(each, backend.upper() if backend else None)) as reader:
        try:
            yield reader
        except CafxError as error:
            raise error.at(path) from error.__cause__


def write_all(writer: Writer, items: Iterable[tuple[bytes, bytes]]) -> int:
    """Write items in batches; if iterating raises an error, the items before it are written first.

    Returns:
        The number of items.
    """
    total = size = 0
    batch: list[tuple[bytes, bytes]] = []
    try:
        for item in items:
            batch.append(item)
            size += len(item[1])
            if size >= BYTES_PER_WRITE or len(batch) == ITEMS_PER_WRITE:
                full, batch, size = batch, [], 0
                writer.put(full)
                total += len(full)
    finally:
        if batch:
            writer.put(batch)
    return total + len(batch)


@contextmanager
def in_order(work: Callable[[T], R], jobs: Iterable[T], threads: int) -> Iterator[Iterator[R]]:
    """Apply ``work`` to each job on several threads; within the ``with`` block, iterate over the results.

    They come in the order of the jobs, and unlike with ``Executor.map``, not all jobs are read in advance. The threads
    end with the block, also after an error. A generator that an error leaves behind would wait for them wherever the
    garbage collector finds it, which may hold a lock that the threads need to end.

    Args:
        work: what is done with a job.
        jobs: the jobs.
        threads: number of threads.

    Example:
        >>> with in_order(str.upper, "abc", threads=2) as results:
        ...     list(results)
        ['A', 'B', 'C']
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        try:
            yield _results(pool, work, jobs, JOBS_PER_THREAD * threads)
        finally:
            pool.shutdown(cancel_futures=True)


def _results(pool: Executor, work: Callable[[T], R], jobs: Iterable[T], ahead: int) -> Iterator[R]:
    """The results of jobs, of which at most ``ahead`` are waiting."""
    pending: deque[Future[R]] = deque()
    for job in jobs:
        pending.append(pool.submit(work, job))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


@contextmanager
def progress(items: Iterable[T], length: int | None, label: str) -> Iterator[Iterator[T]]:
    """Iterate over items with a progress bar on stderr, if that is a terminal.

    Args:
        items: the items.
        length: their number, if known.
        label: text before the bar.
    """
    if not sys.stderr.isatty():
        yield iter(items)
        return
    with click.progressbar(items, length=length, label=label, file=sys.stderr) as bar:
        yield iter(bar)
