"""Who publishes a plugin: as given, else as git knows them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import attrs

from cafx.kernel.errors import CafxError

NAME, EMAIL = "Your Name", "you@example.org"
"""Placeholders that indexes of packages accept."""
ADDRESS = re.compile(r"[^\s@<>\"'\\]+@[^\s@<>\"'\\]+")
URL = re.compile(r"https?://[^\s\"'<>\\]+")
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
SECONDS = 5


@attrs.frozen
class Author:
    """The author of a plugin.

    Attributes:
        name, email: of the author.
        url: the plugin's page; "" for a placeholder.
        is_known: whether neither name nor address is a placeholder.
    """

    name: str
    email: str
    url: str
    is_known: bool

    @property
    def toml(self) -> str:
        """The author as an inline table of pyproject.toml."""
        return f"{{ name = {quoted(self.name)}, email = {quoted(self.email)} }}"


def author_of(into: Path, name: str | None = None, email: str | None = None, url: str | None = None) -> Author:
    """The author as given, else as ``git config`` says, else a placeholder.

    Args:
        into: the folder whose git configuration is asked.
        name, email, url: what the command line says.

    Raises:
        CafxError: a value that is given is malformed.

    Example:
        >>> author_of(Path(), "Ada", "ada@example.org").toml
        '{ name = "Ada", email = "ada@example.org" }'
    """
    if name is not None and (not name.strip() or UNPRINTABLE.search(name)):
        raise CafxError("--author is not a name", found=repr(name))
    if email is not None and not ADDRESS.fullmatch(email):
        raise CafxError("--email is not an address", found=repr(email), expected="name@host")
    if url is not None and not URL.fullmatch(url):
        raise CafxError("--url is not an address", found=repr(url), expected="https://…")
    name = name or _from_git("user.name", into)
    email = email or _from_git("user.email", into)
    if UNPRINTABLE.search(name):
        name = ""
    if not ADDRESS.fullmatch(email):
        email = ""
    return Author(name.strip() or NAME, email or EMAIL, url or "", bool(name and email))


def quoted(text: str) -> str:
    """A printable text as a string of TOML.

    >>> quoted('a "b"')
    '"a \\\\"b\\\\""'
    """
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _from_git(key: str, folder: Path) -> str:
    """A value of git's configuration; "" if there is no git, or no such value."""
    git = shutil.which("git")
    if git is None:
        return ""
    try:
        command = [git, "config", "--get", key]
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""
