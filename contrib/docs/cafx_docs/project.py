"""The repository's own documents as pages, and links from pages to its files."""

from __future__ import annotations

import os
import re
from pathlib import Path

from cafx_docs.catalogue.files import Written

DOCUMENTS = {"CONTRIBUTING.md": "project/contributing", ".github/SECURITY.md": "project/security"}
"""Documents of the repository, and the pages they become."""
FENCED = re.compile(r"(?ms)^(```+|~~~+).*?^\1\s*$|`[^`\n]+`")
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def write_project(folder: Path, repository: Path) -> None:
    """Write the repository's documents as pages.

    Args:
        folder: folder of the pages' sources.
        repository: the repository's root.
    """
    written, pages = Written(folder / "project"), []
    for name, page in DOCUMENTS.items():
        document = repository / name
        if document.is_file():
            text = relinked(document.read_text("utf-8"), document.parent, folder, repository)
            written.write(f"{Path(page).name}.md", text)
            pages.append(Path(page).name)
    toctree = "\n".join(pages)
    written.write("index.md", f"# Project\n\n```{{toctree}}\n{toctree}\n../changelog\n../robustness\n```\n")
    written.remove_others()


def relinked(text: str, base: Path, pages: Path, repository: Path) -> str:
    """A document whose links work on the site.

    Links to the repository's documents lead to their pages; other files become downloads, and folders plain text.

    Args:
        text: Markdown.
        base: the folder that links are relative to.
        pages: folder of the pages' sources.
        repository: the repository's root.
    """
    parts, end = [], 0
    for fenced in FENCED.finditer(text):
        parts += [_relinked(text[end : fenced.start()], base, pages, repository), fenced[0]]
        end = fenced.end()
    return "".join([*parts, _relinked(text[end:], base, pages, repository)])


def _relinked(text: str, base: Path, pages: Path, repository: Path) -> str:
    return LINK.sub(lambda link: _link(link, base, pages, repository), text)


def _link(link: re.Match[str], base: Path, pages: Path, repository: Path) -> str:
    address, hash_sign, anchor = link["target"].partition("#")
    if not address or re.match(r"[a-z]+:|/", address):
        return link[0]
    target = Path(os.path.normpath(base / address))
    if not target.is_relative_to(repository) or not target.exists():
        return link[0]
    if target.is_relative_to(pages):
        return f"[{link['text']}](/{target.relative_to(pages).as_posix()}{hash_sign}{anchor})"
    page = DOCUMENTS.get(target.relative_to(repository).as_posix())
    if page:
        return f"[{link['text']}](/{page}.md{hash_sign}{anchor})"
    if target.is_dir():
        name = f"`{target.relative_to(repository).as_posix()}`"
        return link["text"] if f"`{link['text'].strip('`')}`" == name else f"{link['text']} ({name})"
    return (
        f"[{link['text']}](path:{os.path.relpath(target, base if base.is_relative_to(pages) else pages / 'project')})"
    )
