"""Field numbers of LayerParameter that are taken, by BVLC Caffe and well-known forks."""

from __future__ import annotations

import functools
from importlib.resources import files

TABLE = "numbers.tsv"


@functools.cache
def reserved() -> dict[int, str]:
    """The field each number below 100000 belongs to."""
    lines = files(__package__).joinpath(TABLE).read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return {int(number): field for number, field, _ in rows}


def reserved_field(number: int) -> str | None:
    """The field a number belongs to, or None if it is free."""
    return reserved().get(number)
