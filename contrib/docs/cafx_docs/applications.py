"""The applications under contrib/applications as pages: an overview with pictures, and the README of each."""

from __future__ import annotations

import re
from pathlib import Path

from cafx_docs.catalogue.files import Written
from cafx_docs.project import relinked

FOLDER = "contrib/applications"
IMAGE = re.compile(r"!\[(?P<text>[^\]]*)\]\((?P<file>[^):\s]+)\)")


def write_applications(pages: Path, repository: Path) -> None:
    """Write a page per application, with its pictures, and an overview.

    Args:
        pages: folder of the pages' sources.
        repository: the repository's root.
    """
    written = Written(pages / "applications")
    readmes = sorted((repository / FOLDER).glob("*/README.md"))
    cards = [_write(written, readme, pages, repository) for readme in readmes]
    names = "\n".join(readme.parent.name for readme in readmes)
    intro = _introduction(repository / FOLDER / "README.md")
    grid = "\n\n".join(cards)
    written.write(
        "index.md",
        f"{intro}\n\n:::::{{grid}} 1 2 2 3\n:gutter: 3\n\n{grid}\n:::::\n\n```{{toctree}}\n:hidden:\n\n{names}\n```\n",
    )
    written.remove_others()


def _introduction(readme: Path) -> str:
    """The overview without its table, which the cards replace."""
    text = readme.read_text("utf-8") if readme.is_file() else "# Applications\n"
    return re.sub(r"(?m)^\|.*\n", "", text).strip()


def _write(written: Written, readme: Path, pages: Path, repository: Path) -> str:
    """Write one page and its pictures, and return its card."""
    name, text = readme.parent.name, readme.read_text("utf-8")
    pictures = [found["file"] for found in IMAGE.finditer(text) if (readme.parent / found["file"]).is_file()]
    for picture in pictures:
        written.write(f"{name}/{picture}", (readme.parent / picture).read_bytes())
    body = relinked(f"{text}\nThe program is in `{FOLDER}/{name}`.\n", readme.parent, pages, repository)
    body = IMAGE.sub(
        lambda found: f"![{found['text']}]({name}/{found['file']})" if found["file"] in pictures else found[0], body
    )
    written.write(f"{name}.md", body)
    title = text.partition("\n")[0].lstrip("# ").strip()
    shown = f":img-top: {name}/{pictures[0]}\n" if pictures else ""
    return f"::::{{grid-item-card}} {title}\n:link: {name}\n:link-type: doc\n{shown}{_summary(text)}\n::::"


def _summary(text: str) -> str:
    """The first sentence below the title."""
    paragraph = " ".join(text.split("\n\n")[1].split())
    return re.match(r".+?[.:](?=\s|$)|.+", paragraph)[0].rstrip(":")  # type: ignore[index]
