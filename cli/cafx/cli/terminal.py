"""The terminal that tables are printed to."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

FILE_WIDTH = 160
"""Width of tables when standard output is not a terminal."""
NARROW = 120


@functools.cache
def console() -> Console:
    """The console on standard output: as wide as the terminal, or `FILE_WIDTH` columns in a file or pipe.

    Control characters in names are shown as escapes.
    """
    from rich.console import Console

    from cafx.cli.streams import printable

    class SafeConsole(Console):
        def render_str(self, text: str, **settings: Any) -> Text:
            return super().render_str(printable(text), **settings)

    terminal = SafeConsole()
    return terminal if terminal.is_terminal else SafeConsole(width=FILE_WIDTH)


def is_narrow() -> bool:
    """Whether tables with many columns have to be folded."""
    return console().width < NARROW
