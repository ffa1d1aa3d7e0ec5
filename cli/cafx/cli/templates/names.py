"""The names of a plugin: as type, in prototxts, in distributions and in modules."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping

import attrs

from cafx.kernel.errors import CafxError

LONGEST = 40
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[0-9]+")
VALID = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@attrs.frozen
class Names:
    """The names of a plugin, from the words that it consists of.

    Example:
        >>> names = Names(("soft", "clip"))
        >>> names.type, names.short, names.snake, names.dashed, names.upper
        ('SoftClip', 'softclip', 'soft_clip', 'soft-clip', 'SOFTCLIP')
    """

    words: tuple[str, ...]

    @property
    def type(self) -> str:
        """The name of a class, and of a layer type."""
        return "".join(word[:1].upper() + word[1:] for word in self.words)

    @property
    def short(self) -> str:
        """The words without anything between them."""
        return "".join(self.words).lower()

    @property
    def snake(self) -> str:
        """The name of a function, a variable or an option."""
        return "_".join(self.words).lower()

    @property
    def dashed(self) -> str:
        """The name of a command."""
        return "-".join(self.words).lower()

    @property
    def upper(self) -> str:
        """The name of a database or a file format."""
        return self.short.upper()

    @property
    def title(self) -> str:
        """The words for people."""
        return " ".join(self.words)


STYLES: Mapping[str, Callable[[Names], str]] = {
    "type": lambda names: names.type,
    "snake": lambda names: names.snake,
    "dashed": lambda names: names.dashed,
    "short": lambda names: names.short,
    "upper": lambda names: names.upper,
}
"""How the names of a kind of plugin are written."""


def names_of(text: str) -> Names:
    """The names of a plugin given as ``soft_clip``, ``soft-clip`` or ``SoftClip``.

    >>> names_of("soft-clip").type
    'SoftClip'

    Raises:
        CafxError: the text is not a valid name, is too long, or is reserved by Python.
    """
    words = WORD.findall(text)
    if not VALID.fullmatch(text) or not words:
        raise CafxError("invalid name", found=repr(text), expected="letters, digits, _ or -, starting with a letter")
    if len(text) > LONGEST:
        raise CafxError("the name is too long", found=f"{len(text)} characters", expected=f"at most {LONGEST}")
    names = Names(tuple(words))
    if keyword.iskeyword(names.snake) or keyword.iskeyword(names.type):
        raise CafxError(f"'{text}' is a word of the Python language", remedy="choose another name")
    return names
