"""``cafx db merge``: one database from several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from cafx_lib_feed.tools import create

if TYPE_CHECKING:
    from cafx_lib_feed.database import Reader


@click.command()
@click.argument("databases", metavar="DB…", nargs=-1, required=True, type=click.Path(file_okay=False))
@click.argument("out", metavar="OUT", type=click.Path())
@click.option("--renumber", is_flag=True, help="Give items new keys, in the order of the databases.")
@click.option("--backend", "-b", metavar="NAME", help="Kind of the new database: lmdb, leveldb, … (default: the same).")
def merge(databases: tuple[str, ...], out: str, renumber: bool, backend: str | None) -> None:
    """Write the items of all databases DB to the new database OUT.

    Items are in the order of their keys, as in every database. Items are streamed, not loaded at once. OUT appears once
    it is complete.

    \b
    Examples:
    cafx db merge train_lmdb-* train_lmdb
    cafx db merge cats_lmdb dogs_lmdb pets_lmdb --renumber
    """
    import contextlib

    from cafx_command_db.items import kind_of, numbered, store
    from cafx_lib_feed.database import open_database

    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(open_database(each)) for each in databases]
        _check_alike(readers)
        count = sum(map(len, readers))
        writer = stack.enter_context(create(out, backend or kind_of(databases[0])))
        items = numbered(_one_after_the_other(readers), count) if renumber else by_key(readers)
        store(writer, items, count, "merging")
    click.echo(f"{count} items of {len(databases)} databases written to {out}")


def _check_alike(readers: Sequence[Reader]) -> None:
    """Check that the databases hold the same kind of items."""
    from cafx.kernel import CafxError
    from cafx_command_db.items import describe

    first = describe(readers[0])
    for reader in readers[1:]:
        found = describe(reader)
        if found != first:
            raise CafxError(
                f"its items differ from those of {readers[0].path}",
                where=str(reader.path),
                found=found,
                expected=first,
                remedy="convert both with the same options, --resize included",
            )


def _one_after_the_other(readers: Sequence[Reader]) -> Iterator[tuple[bytes, Any]]:
    for reader in readers:
        yield from reader.items()


def by_key(readers: Sequence[Reader]) -> Iterator[tuple[bytes, Any]]:
    """Iterate over the items of databases in the order of keys.

    Raises:
        CafxError: two databases have the same key.
    """
    import heapq

    from cafx_command_db.items import duplicate

    streams = [_labelled(number, reader) for number, reader in enumerate(readers)]
    before: tuple[bytes, int] = (b"", -1)
    for key, number, value in heapq.merge(*streams, key=lambda item: item[:2]):
        if before[1] >= 0 and key == before[0]:
            raise duplicate(key, readers[before[1]], readers[number])
        before = key, number
        yield key, value


def _labelled(number: int, reader: Reader) -> Iterator[tuple[bytes, int, Any]]:
    for key, value in reader.items():
        yield key, number, value
