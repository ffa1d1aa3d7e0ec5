"""Conformance cases of ``cafx db``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cafx.conformance.kinds.command import CommandCase
from cafx.conformance.kinds.files import database_contents, write_database


def cases() -> Iterable[CommandCase]:
    """Each command on databases of four images."""

    def two(folder: Path) -> None:
        write_database(folder, "one")
        write_database(folder, "two")

    yield CommandCase("inspect", ["inspect", "db"], write_database)
    yield CommandCase("json", ["inspect", "db", "--json"], write_database)
    yield CommandCase("thumbnails", ["inspect", "db", "--thumbnails", "t.png"], write_database, ["t.png"])
    merge, split, shuffle = (
        ["merge", "one", "two", "all", "--renumber"],
        ["split", "db", "a", "b", "--seed", "1"],
        ["shuffle", "db", "a", "--seed", "1"],
    )
    yield CommandCase("merge", merge, two, ["all"], contents=database_contents)
    yield CommandCase("split", split, write_database, ["a", "b"], contents=database_contents)
    yield CommandCase("shuffle", shuffle, write_database, ["a"], contents=database_contents)
