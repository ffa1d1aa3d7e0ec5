"""Pages about errors: each explains a kind of error, which it recognises by the message.

A page is a Markdown file, whose name is the id of its errors. It begins with the title, then messages, in which ``…``
stands for what differs:

    # A layer type that nothing provides

    - error: unknown layer type '…'

    What it means, and what to do.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping
from importlib import resources

import attrs

PREFIX = "E-"
"""How ids begin where they are printed."""
HOLE = "…"
MARK = "- error: "
CLOSE = 0.75
"""How similar a word of a title and one that is looked for are at least."""


@attrs.frozen
class Page:
    """A page about a kind of error.

    Attributes:
        name: the id of these errors, with `PREFIX`.
        title: what happened, as a phrase.
        messages: the errors' messages, with `HOLE` for what differs.
        text: what it means and what to do, in Markdown.
    """

    name: str
    title: str
    messages: tuple[str, ...]
    text: str

    @property
    def whole(self) -> str:
        """The page in Markdown."""
        messages = "\n".join(f"    error: {message}" for message in self.messages)
        return f"# {self.title} [{self.name}]\n\n{messages}\n\n{self.text}"

    @classmethod
    def parse(cls, name: str, text: str) -> Page:
        """Read a page.

        Raises:
            ValueError: it has no title, no message or no text.

        Example:
            >>> Page.parse("disk-full", "# No space\\n\\n- error: the disk is full\\n\\nRemove something.").name
            'E-disk-full'
        """
        head, *rest = text.strip().splitlines()
        messages = tuple(line.removeprefix(MARK) for line in rest if line.startswith(MARK))
        body = "\n".join(line for line in rest if not line.startswith(MARK)).strip()
        if not (head.startswith("# ") and messages and body):
            raise ValueError(f"{name}: a page has a title, messages and a text")
        return cls(PREFIX + name, head.removeprefix("# "), messages, body)


@functools.cache
def pages() -> Mapping[str, Page]:
    """All pages, by id."""
    files = sorted(resources.files(__name__).iterdir(), key=lambda file: file.name)
    found = [Page.parse(each.name[:-3], each.read_text("utf-8")) for each in files if each.name.endswith(".md")]
    return {page.name: page for page in found}


def identify(error: Exception) -> str | None:
    """The id of an error, or None if no page is about it.

    Example:
        >>> identify(RuntimeError("can't start new thread"))
        'E-out-of-memory'
    """
    from cafx.cli.errors import line_of

    if hasattr(error, "format_message"):
        return page_of(str(error.format_message()))
    message = getattr(error, "message", None)
    return page_of(message if isinstance(message, str) else line_of(error))


def page_of(message: str) -> str | None:
    """The id of the page about a message: the one that says most of it literally.

    Example:
        >>> page_of("unknown layer type 'Convolutoin'")
        'E-layer-type'
    """
    line = " ".join(message.split())
    best = (0, "")
    for page in pages().values():
        for pattern in page.messages:
            if matches(pattern, line):
                best = max(best, (len(pattern.replace(HOLE, "")), page.name))
    return best[1] or None


def matches(pattern: str, message: str) -> bool:
    """Whether a message is of the form that a page gives.

    Example:
        >>> matches("unknown … type '…'", "unknown layer type 'X'"), matches("is empty", "the list is empty")
        (True, False)
    """
    return re.fullmatch(".*".join(map(re.escape, pattern.split(HOLE))), message, re.DOTALL) is not None


def find(words: str) -> list[Page]:
    """The pages that an id, a message or some words mean, best first; none if nothing is similar.

    Example:
        >>> find("layer-type")[0].name, find("[E-layer-type]")[0].name, find("unknown layer type 'X'")[0].name
        ('E-layer-type', 'E-layer-type', 'E-layer-type')
    """
    plain = words.strip().strip("[]").lower()
    known = pages()
    by_id = {name.lower(): page for name, page in known.items()}
    exact = by_id.get(plain) or by_id.get(f"{PREFIX}{plain}".lower())
    if exact:
        return [exact]
    recognised = _in_message(words)
    return [recognised] if recognised else _similar(plain)


def _in_message(words: str) -> Page | None:
    """The page about a whole line of an error: its message is what is left without location, details and remedy."""
    printed = re.search(rf"\[({PREFIX}[a-z0-9-]+)\]\s*$", words)
    if printed and printed[1] in pages():
        return pages()[printed[1]]
    parts = words.strip().removeprefix("error: ").partition("; ")[0].split(": ")
    pieces = [": ".join(parts[i:j]) for i in range(len(parts)) for j in range(len(parts), i, -1)]
    name = next(filter(None, map(page_of, pieces)), None)
    return pages()[name] if name else None


def _similar(words: str) -> list[Page]:
    """Pages that contain all the words, or with misspelt ones replaced; those with them in the title come first."""
    wanted = re.findall(r"\w+", words)
    return _with_words(wanted) or _with_words([_nearest(word) for word in wanted])


def _with_words(wanted: list[str]) -> list[Page]:
    def has_all(text: str) -> bool:
        return bool(wanted) and all(word in text.lower() for word in wanted)

    found = [page for page in pages().values() if has_all(" ".join((page.name, page.title, *page.messages, page.text)))]
    return sorted(found, key=lambda page: not has_all(f"{page.name} {page.title}"))


def _nearest(word: str) -> str:
    """The word of a title or id that is meant."""
    known = {each for page in pages().values() for each in re.findall(r"\w+", f"{page.name} {page.title}".lower())}
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=CLOSE)), word)
