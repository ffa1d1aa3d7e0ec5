"""Standard streams that a file's content cannot take over: control characters are escaped."""

from __future__ import annotations

import io
import os
import re
from typing import Any

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters other than tab and line break, and those that change the direction of writing."""
OF_A_TERMINAL = re.compile(r"\r|\x1b\[[0-9;]*m|\x1b\[\d*[AK]|\x1b\[\?25[hl]|(" + CONTROL.pattern + ")")
"""What progress bars and colours consist of, or else (as a group) a control character."""

FORCED = ("FORCE_COLOR", "TTY_COMPATIBLE")
"""Environment variables that ask for colours where there is no terminal."""


def printable(text: str) -> str:
    r"""A text with control characters escaped, so that a terminal shows them and does not obey them.

    Example:
        >>> printable("caf\xe9 \x1b[2J")
        'café \\x1b[2J'
    """
    return CONTROL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


class SafeStream(io.TextIOWrapper):
    """A text stream that escapes control characters, on a terminal all but those of colours and progress bars.

    Args:
        binary: the stream to write bytes to.
        settings: keywords of `io.TextIOWrapper`.

    Attributes:
        terminal: whether it is one, or is to be treated as one.
        broken: whether it is a pipe that nobody reads any more; some libraries hide that error.
    """

    def __init__(self, binary: Any, **settings: Any) -> None:
        terminal = binary.isatty() or any(map(os.environ.get, FORCED))
        super().__init__(binary, line_buffering=terminal, **settings)
        self.terminal = terminal
        self.broken = False

    def write(self, text: str) -> int:
        """Write a text; returns its length."""
        try:
            super().write(OF_A_TERMINAL.sub(_escaped_alone, text) if self.terminal else printable(text))
        except BrokenPipeError:
            self.broken = True
            raise
        return len(text)

    def flush(self) -> None:
        """Write what is left in the buffer."""
        try:
            super().flush()
        except BrokenPipeError:
            self.broken = True
            raise


def _escaped_alone(match: re.Match[str]) -> str:
    return _escaped(match) if match[1] else match[0]
