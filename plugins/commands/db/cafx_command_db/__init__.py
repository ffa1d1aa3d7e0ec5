"""``cafx db``: inspecting, merging, splitting and shuffling databases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from cafx_command_db.inspection import inspect
from cafx_command_db.merging import merge
from cafx_command_db.shuffling import shuffle
from cafx_command_db.splitting import split

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase

__version__ = "0.1.0"


@click.group()
def db() -> None:
    """Inspect, merge, split and shuffle databases.

    \b
    Examples:
    cafx db inspect train_lmdb
    cafx db merge train_lmdb-* train_lmdb
    cafx db split all_lmdb train_lmdb val_lmdb --shares 0.9,0.1 --seed 1
    cafx db shuffle train_lmdb shuffled_lmdb --seed 1
    """


for command in (inspect, merge, split, shuffle):
    db.add_command(command)


def cases() -> Iterable[CommandCase]:
    """The conformance cases: see `cafx_command_db.conformance_cases`."""
    from cafx_command_db import conformance_cases as own

    return own.cases()
