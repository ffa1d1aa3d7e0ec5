"""Real text that is at hand: the documentation of this repository."""

from __future__ import annotations

import os
from pathlib import Path

from cafx.kernel import CafxError
from cafx.kernel.files import read_file

REPOSITORY = Path(__file__).resolve().parents[3]
PAGES = ("README.md", "CONTRIBUTING.md", *(f"contrib/docs/pages/{each}/*.md" for each in ("guide", "help", "recipes")))
SETTING = "CAFX_TEXT"


def documentation() -> str:
    """README, CONTRIBUTING and the pages written by hand, in Markdown; or the file that CAFX_TEXT names.

    Raises:
        CafxError: the file does not exist, or the distribution is installed without its repository.

    Example:
        >>> documentation().startswith("# ")
        True
    """
    named = os.environ.get(SETTING)
    paths = [Path(named)] if named else [path for page in PAGES for path in sorted(REPOSITORY.glob(page))]
    if not paths:
        remedy = f"name a text file: {SETTING}=FILE"
        raise CafxError("there is no documentation", where=str(REPOSITORY), remedy=remedy)
    return "\n".join(read_file(path).decode("utf-8", "replace") for path in paths)
