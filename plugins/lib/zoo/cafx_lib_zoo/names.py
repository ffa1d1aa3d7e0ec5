"""Names of files and addresses that a card or server states, checked before they are used."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit, urlunsplit

from cafx.kernel import CafxError
from cafx.kernel.files import shown

FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,119}")
CARDS = ("readme.md", "README.md")
"""What a card is called: as in Caffe's zoo, and on the Hugging Face Hub."""
SHA256 = re.compile(r"[0-9a-f]{64}")
SHA1 = re.compile(r"[0-9a-f]{40}")
MAX_URL = 2000
MAX_SHOWN = 100


def is_file_name(name: object) -> bool:
    """Whether a text can be the name of a file of a model: without folders, and not the card itself.

    Example:
        >>> [is_file_name(each) for each in ("deploy.prototxt", "../x", ".netrc", "ReadMe.md", "a/b", "a\\\\b")]
        [True, False, False, False, False, False]
    """
    return isinstance(name, str) and FILE.fullmatch(name) is not None and name.lower() != CARDS[0]


def is_url(place: str) -> bool:
    """Whether a place is an address rather than a path."""
    return place.startswith(("https://", "http://"))


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine.

    Example:
        >>> is_loopback("http://127.0.0.1:8000/x"), is_loopback("http://127.0.0.1.example.org/")
        (True, False)
    """
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(url: str, local: bool, where: str | None = None) -> str:
    """The address, if it may be read.

    Args:
        url: the address.
        local: whether a person named a server on this machine; then others on it may be read without encryption.
        where: who states it, for errors.

    Raises:
        CafxError: it is not https, or has a user name or password in it.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if not host or len(url) > MAX_URL or not url.isascii() or any(each <= " " for each in url):
        raise CafxError("is not an address", where=where or shown_url(url), expected="https://HOST/FOLDER/")
    if parts.username is not None or parts.password is not None:
        remedy = "cafx reads what is public, and sends no credentials"
        raise CafxError("has a user name or password in it", where=where or shown_url(url), remedy=remedy)
    if parts.scheme != "https" and not (parts.scheme == "http" and local and is_loopback(url)):
        raise CafxError("cannot be trusted: not https", where=where or shown_url(url), found=f"{parts.scheme}://{host}")
    return url


def shown_url(url: str) -> str:
    """An address for messages and records: without user, password, query and fragment, which may be secret.

    Example:
        >>> shown_url("https://me:secret@example.org/x?token=1#2")
        'https://example.org/x'
    """
    if not is_url(url):
        return shown(url)
    try:
        parts = urlsplit(url)
        host = (parts.netloc.rpartition("@")[2])[:MAX_SHOWN]
        return shown(urlunsplit((parts.scheme, host, parts.path[:MAX_SHOWN], "", "")))
    except ValueError:
        return "an address"
