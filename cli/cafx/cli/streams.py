"""Standard streams that a file's content cannot take over: control characters are escaped."""

from __future__ import annotations

import codecs
import io
import os
import re
from collections.abc import Callable
from typing import Any

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters other than tab and line break, and those that change the direction of writing."""
OF_A_TERMINAL = re.compile(r"\r|\x1b\[[0-9;]*m|\x1b\[\d*[AK]|\x1b\[\?25[hl]|(" + CONTROL.pattern + ")")
"""What progress bars and colours consist of, or else (as a group) a control character."""

SPELT = {"×": "x", "→": "->", "←": "<-", "…": "...", "–": "-", "—": "-", "−": "-", "·": "*", "≤": "<=", "≥": ">="}
SPELT |= {"“": '"', "”": '"', "‘": "'", "’": "'", "µ": "u", "°": " deg", "±": "+-", "²": "^2", "√": "sqrt"}
"""Characters that are spelt differently where the encoding lacks them."""
ASCII, LATIN = "ascii", "latin-1"
SURROGATES = range(0xDC80, 0xDD00)
"""Bytes of file names that are no text, as Python writes them."""
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


def encodable(text: str, encoding: str) -> str:
    r"""A text that an encoding can express: other characters are spelt differently or escaped.

    Bytes of file names that are no text stay what they are.

    Example:
        >>> encodable("4×3 …é", "ascii"), encodable("4×3 …é", "latin-1")
        ('4x3 ...\\xe9', '4×3 ...é')
    """
    if text.isascii():
        return text
    return "".join(map(_as_in(encoding), text))


def _as_in(encoding: str) -> Callable[[str], str]:
    def spelt(character: str) -> str:
        if ord(character) in SURROGATES:
            return character
        try:
            character.encode(encoding)
        except UnicodeEncodeError:
            return SPELT.get(character) or _backslashes(character)
        return character

    return spelt


def _backslashes(character: str) -> str:
    return character.encode(ASCII, "backslashreplace").decode(ASCII)


class SafeStream(io.TextIOWrapper):
    """A text stream that escapes control characters, on a terminal all but those of colours and progress bars.

    Characters that its encoding lacks are spelt differently or escaped.

    Args:
        binary: the stream to write bytes to.
        encoding: the encoding. ASCII is called Latin-1, since click writes UTF-8 where it is told of ASCII.
        errors: as in `io.TextIOWrapper`.

    Attributes:
        limit: the encoding whose characters are written.
        terminal: whether it is one, or is to be treated as one.
        broken: whether it is a pipe that nobody reads any more; some libraries hide that error.
    """

    def __init__(self, binary: Any, encoding: str, errors: str) -> None:
        terminal = binary.isatty() or any(map(os.environ.get, FORCED))
        self.limit = codecs.lookup(encoding).name
        declared = LATIN if self.limit == ASCII else encoding
        super().__init__(binary, encoding=declared, errors=errors, line_buffering=terminal)
        self.terminal = terminal
        self.broken = False

    def write(self, text: str) -> int:
        """Write a text; returns its length."""
        safe = OF_A_TERMINAL.sub(_escaped_alone, text) if self.terminal else printable(text)
        try:
            super().write(safe if self.limit.startswith("utf") else encodable(safe, self.limit))
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
