"""Checks of the built site: every link within it leads somewhere, and no page needs another server."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cafx.kernel import CafxError

ASSETS = {"script": "src", "img": "src", "link": "href", "source": "src", "iframe": "src", "object": "data"}
STATIC = "_static"
UNLOADED = {"canonical", "next", "prev", "index", "search", "author", "help", "copyright"}
"""Values of ``rel`` of a link that a browser does not load."""


class Page(HTMLParser):
    """What a page loads, links to and can be linked at.

    Attributes:
        assets: addresses of scripts, styles and images.
        links: addresses that the reader can follow.
        anchors: the ids in the page.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.assets: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what one tag refers to."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag in ASSETS and ASSETS[tag] in values and not UNLOADED & set(values.get("rel", "").split()):
            self.assets.append(values[ASSETS[tag]])


def problems(site: Path) -> list[str]:
    """What is wrong with a built site, one line per link.

    Args:
        site: the folder with its ``index.html``.

    Raises:
        CafxError: nothing is built there.
    """
    if not (site / "index.html").is_file():
        raise CafxError("the site is not built", where=str(site), remedy="run: cafx-docs build")
    pages = sorted(path for path in site.rglob("*.html") if path.relative_to(site).parts[0] != STATIC)
    return [problem for page in pages for problem in _problems_of(site, page)]


def _problems_of(site: Path, path: Path) -> Iterator[str]:
    page, where = _parsed(path), path.relative_to(site)
    for address in page.assets:
        if is_foreign(address):
            yield f"{where}: loads {address} from another server"
        elif not address.startswith("data:") and not _target(path, address).is_file():
            yield f"{where}: loads {address}, which does not exist"
    for address in dict.fromkeys(page.links):
        if not urlsplit(address).scheme and not is_foreign(address):
            yield from _problem_of(where, path, address)


def _problem_of(where: Path, path: Path, address: str) -> Iterator[str]:
    target, anchor = _target(path, address), unquote(urlsplit(address).fragment)
    if not target.is_file():
        yield f"{where}: links to {address}, which does not exist"
    elif anchor and target.suffix == ".html" and anchor not in _parsed(target).anchors:
        yield f"{where}: links to {address}, but {target.name} has no #{anchor}"


def is_foreign(address: str) -> bool:
    """Whether an address is on another server.

    >>> [is_foreign(address) for address in ("https://example.org/a.js", "//example.org/a.js", "../a.js", "data:x")]
    [True, True, False, False]
    """
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in {"http", "https", "ftp"}


def _target(page: Path, address: str) -> Path:
    path = unquote(urlsplit(address).path)
    target = page.parent / path if path else page
    return target / "index.html" if target.is_dir() else target


@functools.lru_cache(maxsize=4096)
def _parsed(path: Path) -> Page:
    return Page(path.read_text("utf-8"))
