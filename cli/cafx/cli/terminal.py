"""The terminal that tables are printed to."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

FILE_WIDTH = 160
"""Width of tables when standard output is not a terminal."""
NARROW = 120


@functools.cache
def console() -> Console:
    """The console on standard output: as wide as the terminal, or `FILE_WIDTH` columns in a file or pipe."""
    from rich.console import Console

    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=FILE_WIDTH)


def is_narrow() -> bool:
    """Whether tables with many columns have to be folded."""
    return console().width < NARROW
