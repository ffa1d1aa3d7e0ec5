"""What tools that make and read databases share."""

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

BATCH = 1000
T = TypeVar("T")
R = TypeVar("R")

backend_option = click.option(
    "--backend", "-b", metavar="NAME", default="lmdb", show_default=True,
    help="Database plugin: lmdb, leveldb, …",
)  # fmt: skip
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
    """A database to write.

    A new one that stays empty is removed again, and so is one that is not finished, unless ``resumable``.
    """
    from cafx.kernel import registry

    unwanted = new = not Path(path).exists()
    try:
        with registry().load("database", backend.upper()).create(path, append=append) as writer:
            try:
                yield writer
                unwanted = False
            finally:
                unwanted = new and ((unwanted and not resumable) or writer.last_key() is None)
    finally:
        if unwanted and Path(path).is_dir():
            shutil.rmtree(path)


@contextmanager
def reading(path: str, backend: str | None) -> Iterator[Reader]:
    """A database to read, that errors about its items name."""
    from cafx.kernel import CafxError
    from cafx_lib_feed.database import open_database

    try:
        with open_database(path, backend.upper() if backend else None) as reader:
            yield reader
    except CafxError as error:
        raise error.at(path) from error.__cause__


def write_all(writer: Writer, items: Iterable[tuple[bytes, bytes]]) -> int:
    """Write items in batches; returns how many. Where they end in an error, those before it are written."""
    total = 0
    batch: list[tuple[bytes, bytes]] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == BATCH:
                full, batch = batch, []
                writer.put(full)
                total += len(full)
    finally:
        if batch:
            writer.put(batch)
    return total + len(batch)


def in_order(work: Callable[[T], R], jobs: Iterable[T], threads: int) -> Iterator[R]:
    """The results of ``work``, done by several threads, in the order of the jobs."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        waiting: list[Any] = []
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) > 4 * threads:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for each in waiting:
                each.cancel()


@contextmanager
def progress(items: Iterable[T], length: int | None, label: str) -> Iterator[Iterator[T]]:
    """The items, with a bar on a terminal's stderr."""
    if not sys.stderr.isatty():
        yield iter(items)
        return
    with click.progressbar(items, length=length, label=label, file=sys.stderr) as bar:
        yield iter(bar)
