"""Shared by commands that read and write databases."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from cafx_lib_feed.database import Reader, Writer

ITEMS_PER_WRITE = 1000
JOBS_PER_THREAD = 4
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

    A new database that is still empty at the end is removed. If the block raises an error, so is an
    unfinished one, unless ``resumable``.

    Args:
        path: its folder.
        backend: its kind, in any case.
        append: the database may exist.
        resumable: keep an unfinished database.

    Raises:
        CafxError: the database cannot be created, or the kind is unknown.
    """
    from cafx.kernel import registry

    discard = new = not Path(path).exists()
    try:
        with registry().load("database", backend.upper()).create(path, append=append) as writer:
            try:
                yield writer
                discard = False
            finally:
                discard = new and ((discard and not resumable) or writer.last_key() is None)
    finally:
        if discard and Path(path).is_dir():
            shutil.rmtree(path)


@contextmanager
def reading(path: str, backend: str | None) -> Iterator[Reader]:
    """Open a database for reading, within a ``with`` block; errors about its items name the database.

    Args:
        path: its folder.
        backend: its kind, in any case (default: detected).

    Raises:
        CafxError: the database cannot be opened.
    """
    from cafx.kernel import CafxError
    from cafx_lib_feed.database import open_database

    with open_database(path, backend.upper() if backend else None) as reader:
        try:
            yield reader
        except CafxError as error:
            raise error.at(path) from error.__cause__


def write_all(writer: Writer, items: Iterable[tuple[bytes, bytes]]) -> int:
    """Write items in batches; if iterating raises an error, the items before it are written first.

    Returns:
        The number of items.
    """
    total = 0
    batch: list[tuple[bytes, bytes]] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == ITEMS_PER_WRITE:
                full, batch = batch, []
                writer.put(full)
                total += len(full)
    finally:
        if batch:
            writer.put(batch)
    return total + len(batch)


def in_order(work: Callable[[T], R], jobs: Iterable[T], threads: int) -> Iterator[R]:
    """Apply ``work`` to each job on several threads and yield the results in the order of the jobs.

    Unlike ``Executor.map``, it does not read all jobs in advance.

    Example:
        >>> list(in_order(str.upper, "abc", threads=2))
        ['A', 'B', 'C']
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        pending: list[Any] = []
        try:
            for job in jobs:
                pending.append(pool.submit(work, job))
                if len(pending) > JOBS_PER_THREAD * threads:
                    yield pending.pop(0).result()
            while pending:
                yield pending.pop(0).result()
        finally:
            for each in pending:
                each.cancel()


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
