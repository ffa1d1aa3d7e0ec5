"""Colours of help and errors: on a terminal, unless ``NO_COLOR`` is set or the terminal is dumb.

Results in tables are coloured by rich, which follows the same variables.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

import click

HEADING = {"bold": True}
TERM = {"fg": "cyan"}
ERROR = {"fg": "red", "bold": True}
WARNING = {"fg": "yellow", "bold": True}
FAINT = {"dim": True}
USAGE = "Usage:"


def coloured(stream: Any) -> bool:
    """Whether to write colours to a stream.

    ``NO_COLOR``, if it is not empty, switches colours off; else ``FORCE_COLOR`` switches them on; else they are used on
    a terminal that can show them.

    Args:
        stream: standard output or standard error.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return os.environ.get("TERM") != "dumb" and bool(stream.isatty())


def styled(text: str, style: dict[str, Any], stream: Any) -> str:
    """A text in a style, where the stream shows styles."""
    return click.style(text, **style) if coloured(stream) else text


class Formatter(click.HelpFormatter):
    """Formats help with bold headings and coloured options and commands."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the line of usage."""
        start = len(self.buffer)
        super().write_usage(prog, args, prefix)
        self.buffer[start] = self.buffer[start].replace(USAGE, styled(USAGE, HEADING, sys.stdout), 1)

    def write_heading(self, heading: str) -> None:
        """Write the heading of a section."""
        self.write(f"{'':>{self.current_indent}}{styled(f'{heading}:', HEADING, sys.stdout)}\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write options or commands, and what they are."""
        super().write_dl([(styled(term, TERM, sys.stdout), text) for term, text in rows], col_max, col_spacing)


class Context(click.Context):
    """The context of every command of ``cafx``: its help is coloured where standard output is."""

    formatter_class = Formatter

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.color = coloured(sys.stdout)
