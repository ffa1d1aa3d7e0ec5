"""Databases in several parts."""

from __future__ import annotations

from pathlib import Path


def shard_paths(path: str | Path, count: int) -> list[Path]:
    """The names of the parts of a database.

    Example:
        >>> [each.name for each in shard_paths("train_lmdb", 2)]
        ['train_lmdb-00000-of-00002', 'train_lmdb-00001-of-00002']
    """
    whole = Path(path)
    return [whole.with_name(f"{whole.name}-{number:05d}-of-{count:05d}") for number in range(count)]
