"""``cafx db split``: several databases from one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import click

from cafx_lib_feed.tools import create, reading

MOST_PARTS = 256
"""Databases that are written at the same time."""
MOST_SHOWN = 16
"""Databases that are listed one by one."""


@click.command()
@click.argument("database", metavar="DB", type=click.Path(file_okay=False))
@click.argument("outs", metavar="OUT…", nargs=-1, required=True, type=click.Path())
@click.option(
    "--parts", "-n", type=click.IntRange(2, MOST_PARTS), metavar="N", help="Write N equal parts, OUT-00000-of-0000N, …"
)
@click.option("--shares", metavar="F,F", help="Shares of the databases OUT, e.g. 0.9,0.1 (default: equal).")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Choose items at random (default: in order).")
@click.option(
    "--backend", "-b", metavar="NAME", help="Kind of the new databases: lmdb, leveldb, … (default: the same)."
)
def split(
    database: str, outs: tuple[str, ...], parts: int | None, shares: str | None, seed: int | None, backend: str | None
) -> None:
    """Divide the items of DB among the new databases OUT.

    Each item is in one of them, under its key. Without --seed, the first database has the first items, and so on; with
    --seed, items are drawn at random, and the numbers of items are the same. The new databases appear once all are
    complete.

    \b
    Examples:
    cafx db split train_lmdb shard --parts 4
    cafx db split all_lmdb train_lmdb val_lmdb --shares 0.9,0.1 --seed 1
    """
    import contextlib

    from cafx.kernel import CafxError
    from cafx_command_db.items import kind_of
    from cafx_lib_jobs.shards import shard_paths

    if parts and (len(outs) > 1 or shares):
        raise click.UsageError("--parts takes one OUT, and no --shares.")
    paths = [str(each) for each in shard_paths(outs[0], parts)] if parts else list(outs)
    if len(set(paths)) < len(paths):
        raise click.UsageError("Two databases OUT have the same name.")
    weights = _weights(shares, len(paths))
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(reading(database, None))
        sizes = _sizes(len(reader), weights)
        if 0 in sizes:
            few = f"{len(reader)} items for {len(paths)} databases"
            raise CafxError("a part would be empty", where=database, found=few, remedy="ask for fewer parts")
        kind = backend or kind_of(database)
        writers = [stack.enter_context(create(path, kind)) for path in paths]
        _distribute(reader, writers, sizes, seed)
    for path, size in list(zip(paths, sizes, strict=True))[: len(paths) if len(paths) <= MOST_SHOWN else 1]:
        click.echo(f"{path}: {size} items")
    if len(paths) > MOST_SHOWN:
        click.echo(f"… {paths[-1]}: {len(paths)} databases with {sum(sizes)} items")


def _weights(shares: str | None, count: int) -> list[float]:
    if shares is None:
        return [1.0] * count
    try:
        weights = [float(each) for each in shares.split(",")]
    except ValueError:
        weights = []
    if len(weights) != count or not all(math.isfinite(each) and each > 0 for each in weights):
        raise click.BadParameter(f"{shares!r} is not a positive number per OUT; try 0.9,0.1", param_hint="--shares")
    return weights


def _sizes(count: int, weights: Sequence[float]) -> list[int]:
    """The number of items of each part: they add up.

    Example:
        >>> _sizes(10, [0.75, 0.25])
        [8, 2]
    """
    ends = [round(count * math.fsum(weights[: n + 1]) / math.fsum(weights)) for n in range(len(weights))]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _distribute(reader: Any, writers: Sequence[Any], sizes: Sequence[int], seed: int | None) -> None:
    """Write each item to one of the writers, in batches."""
    from cafx_lib_feed.tools import ITEMS_PER_WRITE, progress

    most = max(1, ITEMS_PER_WRITE // len(writers))
    waiting: list[list[tuple[bytes, bytes]]] = [[] for _ in writers]
    parts = _in_order(sizes) if seed is None else drawn(sizes, seed)
    with progress(zip(reader.items(), parts, strict=True), len(reader), "splitting") as shown:
        for (key, value), part in shown:
            waiting[part].append((key, bytes(value)))
            if len(waiting[part]) == most:
                writers[part].put(waiting[part])
                waiting[part] = []
    for writer, rest in zip(writers, waiting, strict=True):
        if rest:
            writer.put(rest)


def _in_order(sizes: Sequence[int]) -> Iterator[int]:
    for part, size in enumerate(sizes):
        yield from (part for _ in range(size))


def drawn(sizes: Sequence[int], seed: int) -> Iterator[int]:
    """Draw the part of each item, such that every division into parts of these sizes is equally likely.

    Source: Knuth, The Art of Computer Programming, volume 2, algorithm 3.4.2S.

    Example:
        >>> sorted(drawn([3, 2], seed=1))
        [0, 0, 0, 1, 1]
    """
    from cafx.kernel.net import Streams

    rng = Streams(seed)["db-split"]
    left = list(sizes)
    for total in range(sum(sizes), 0, -1):
        position, part = int(rng.integers(total)), 0
        while position >= left[part]:
            position -= left[part]
            part += 1
        left[part] -= 1
        yield part
