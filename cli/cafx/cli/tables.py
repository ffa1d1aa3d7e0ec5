"""Tables that fit the terminal and break lines between words only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

from cafx.cli.streams import printable

if TYPE_CHECKING:
    from rich.table import Table

BREAKS = re.compile(r"\s+|[^\s+]+\+?|\+")
"""Pieces of a text between which a line may end: spaces, and what follows a plus."""
FRAME, PER_COLUMN = 1, 3
"""Characters of a table's border, and per column of its border and padding."""
LEAST = 4
"""Width that a column has at least, where words have to be split."""


@attrs.frozen
class Column:
    """A column.

    Attributes:
        title: its heading.
        cells: a text per row.
        right: whether the texts are flush right.
    """

    title: str
    cells: tuple[str, ...]
    right: bool = False

    @classmethod
    def of(cls, title: str, cells: Iterable[str], *, right: bool = False) -> Column:
        """A column of texts, in which control characters are shown as escapes."""
        return cls(title, tuple(map(printable, cells)), right)

    @property
    def natural(self) -> int:
        """The width at which no line is broken."""
        return max((_width(line) for text in (self.title, *self.cells) for line in text.split("\n")), default=0)

    @property
    def least(self) -> int:
        """The width at which no word is broken."""
        return max(_width(piece.strip()) for text in (self.title, *self.cells) for piece in BREAKS.findall(text))

    @property
    def is_constant(self) -> bool:
        """Whether all rows say the same, or nothing."""
        return len(set(self.cells)) < 2 if len(self.cells) > 1 else not any(self.cells)


def fits(columns: Sequence[Column], width: int) -> bool:
    """Whether a table of these columns fits without breaking a word."""
    return sum(column.least for column in columns) <= _room(columns, width)


def table(columns: Sequence[Column], width: int) -> Table:
    """A table at most ``width`` characters wide; words are split only where there is no other way.

    Args:
        columns: the columns, with as many cells each.
        width: of the console.
    """
    from rich.table import Table
    from rich.text import Text

    widths = _widths(columns, _room(columns, width))
    made = Table()
    for column, each in zip(columns, widths, strict=True):
        made.add_column(column.title, justify="right" if column.right else "left", width=each, overflow="fold")
    for row in zip(*(column.cells for column in columns), strict=True):
        made.add_row(*(Text(wrapped(cell, each)) for cell, each in zip(row, widths, strict=True)))
    return made


def wrapped(text: str, width: int) -> str:
    """A text with lines at most ``width`` wide, as far as words allow.

    Example:
        >>> wrapped("conv1+relu1+pool1 64×20", 12)
        'conv1+relu1+\\npool1 64×20'
    """
    return "\n".join(line for each in text.split("\n") for line in _lines(each, width))


def _lines(text: str, width: int) -> list[str]:
    lines = [""]
    for piece in BREAKS.findall(text):
        if _width((lines[-1] + piece).rstrip()) <= width:
            lines[-1] += piece
        else:
            lines.append(piece.lstrip())
    return [line.rstrip() for line in lines if line] or [""]


def _widths(columns: Sequence[Column], room: int) -> list[int]:
    """Widths of columns: those that can be narrower give up what is lacking, the widest first."""
    widths = [column.natural for column in columns]
    for least in ([column.least for column in columns], [LEAST] * len(columns)):
        while sum(widths) > room:
            spare = [width if width > low else 0 for width, low in zip(widths, least, strict=True)]
            if not any(spare):
                break
            widths[spare.index(max(spare))] -= 1
    return widths


def _room(columns: Sequence[Column], width: int) -> int:
    return width - FRAME - PER_COLUMN * len(columns)


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)
