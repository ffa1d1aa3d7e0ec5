"""Field numbers of LayerParameter reserved by BVLC Caffe and well-known forks."""

from __future__ import annotations

import functools
from importlib.resources import files

TABLE = "numbers.tsv"


@functools.cache
def reserved() -> dict[int, str]:
    """The field name of each reserved number."""
    lines = files(__package__).joinpath(TABLE).read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return {int(number): field for number, field, _ in rows}


def reserved_field(number: int) -> str | None:
    """The field name of a reserved number; None if the number is free."""
    return reserved().get(number)
