"""The terminal that tables are printed to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

FILE_WIDTH = 160
"""Width of tables when standard output is not a terminal and ``COLUMNS`` is not set."""
NARROW = 120


def console() -> Console:
    """The console on standard output: as wide as ``COLUMNS`` says, else as the terminal, or `FILE_WIDTH` in a pipe.

    Control characters in names are shown as escapes.
    """
    from rich.console import Console

    from cafx.cli.streams import printable

    class SafeConsole(Console):
        def render_str(self, text: str, **settings: Any) -> Text:
            return super().render_str(printable(text), **settings)

    terminal = SafeConsole()
    columns = os.environ.get("COLUMNS", "")
    return terminal if terminal.is_terminal or columns.isdecimal() else SafeConsole(width=FILE_WIDTH)


def is_narrow() -> bool:
    """Whether tables with many columns have to be folded."""
    return console().width < NARROW
