"""Where models come from: plugins of group ``cafx.sources``, named by the scheme of their addresses.

`Source` is what a third party's plugin subclasses: it says where each file of a model is, and downloading, limits
and verification are the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cafx.kernel import CafxError, UnknownNameError, registry
from cafx.kernel.errors import did_you_mean
from cafx.kernel.files import read_file
from cafx_lib_zoo.card import MAX_CARD, Stated
from cafx_lib_zoo.names import CARDS, is_url, shown_url
from cafx_lib_zoo.web import Limits, Missing, Web

KIND = "source"
EXTRAS = {"hf": "hub"}
"""Schemes whose plugin comes with an extra of cafx."""


class Source:
    """One model at one place.

    Args:
        address: what follows ``SCHEME:``.
        limits: what reading may take.

    Attributes:
        title: the source for messages and records, without secrets.
        web: reads addresses.
        cards: names that its card may have, the likeliest first.
        local: whether its places are paths of this machine; otherwise each must be an address.

    Example:
        >>> class Mirror(Source):
        ...     def place(self, name):
        ...         return f"https://models.example.org/{self.title}/{name}"
        >>> Mirror("lenet", Limits()).place("deploy.prototxt")
        'https://models.example.org/lenet/deploy.prototxt'
    """

    cards: Sequence[str] = CARDS
    local = False

    def __init__(self, address: str, limits: Limits) -> None:
        self.title = address
        self.web = Web(limits)

    def place(self, name: str) -> str:
        """The address (https) or path of a file; it need not exist."""
        raise NotImplementedError

    def names(self) -> Mapping[str, Stated] | None:
        """All files with what the source states of them; None if it cannot list them."""
        return None

    @classmethod
    def search(cls, word: str, limits: Limits) -> list[dict[str, Any]] | None:
        """Models that match a word, each with ``name`` and ``about``; None if the source cannot search."""
        return None

    def found(self, name: str) -> str:
        """The place of a file, checked: a server must not name a path of this machine.

        Raises:
            CafxError: it does.
        """
        place = self.place(name)
        if not self.local and not is_url(place):
            raise CafxError(f"names no address for '{name}'", where=self.title, found=shown_url(place)[:80])
        return place

    def card(self) -> bytes:
        """The readme.

        Raises:
            CafxError: there is none, or it cannot be read.
        """
        listed = self.names()
        names = [name for name in listed if name.lower() == CARDS[0]] if listed is not None else self.cards
        for name in names:
            place = self.found(name)
            if self.local:
                return _small(place)
            try:
                return self.web.read(place, MAX_CARD)
            except Missing as error:
                missing = error
        if not names or len(names) == len(self.cards):
            raise CafxError("has no readme.md", where=self.title, remedy="name the folder or address of one model")
        raise missing


def _small(path: str) -> bytes:
    data = read_file(path, MAX_CARD + 1)
    if len(data) > MAX_CARD:
        raise CafxError("is too long for a model card", where=path, found=f"more than {MAX_CARD:,} bytes")
    return data


def open_source(text: str, limits: Limits | None = None) -> Source:
    """The source that an address names.

    Args:
        text: ``file:FOLDER`` or a folder; ``https://HOST/FOLDER/``; ``gist:ID``; ``hf:ORG/NAME@REVISION``; or that of
            another installed plugin.
        limits: what reading may take.

    Raises:
        CafxError: no source has this scheme, or the address is malformed.

    Example:
        >>> open_source("https://example.org/lenet").place("deploy.prototxt")
        'https://example.org/lenet/deploy.prototxt'
    """
    scheme, address = scheme_of(text)
    names = registry().names(KIND)
    if scheme in names:
        source: Source = registry().load(KIND, scheme)(address, limits or Limits())
        return source
    shown = shown_url(text)
    if scheme in EXTRAS:
        remedy = f"install it with: {registry().install_line(f'cafx[{EXTRAS[scheme]}]')}"
        raise CafxError(f"the source '{scheme}:' is not installed", where=shown, remedy=remedy)
    if scheme and "/" not in scheme:
        near = did_you_mean(scheme, names)
        expected = "one of " + ", ".join(f"{each}:" for each in names)
        raise UnknownNameError(f"unknown source '{scheme[:40]}:'", where=shown, expected=expected, remedy=near)
    expected = "a folder, or an address that begins with " + ", ".join(f"{each}:" for each in names)
    raise UnknownNameError(
        "no such model", where=shown, expected=expected, remedy="'cafx models list' shows those that are here"
    )


def scheme_of(text: str) -> tuple[str, str]:
    """Scheme and the rest; a folder has the scheme ``file``, http that of https, anything else "".

    Example:
        >>> scheme_of("hf:org/name"), scheme_of("/"), scheme_of("https://a/b")
        (('hf', 'org/name'), ('file', '/'), ('https', 'https://a/b'))
    """
    if is_url(text):
        return "https", text
    if "\0" not in text and Path(text).is_dir():
        return "file", text
    scheme, colon, address = text.partition(":")
    return (scheme, address) if colon and scheme.isalnum() else ("", text)
