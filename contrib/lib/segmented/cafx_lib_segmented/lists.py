"""Lists of images and their labels."""

from __future__ import annotations

from cafx.kernel import CafxError
from cafx_lib_feed.lists import read_text_list

Pair = tuple[str, str]


def read_pairs(path: str, labelled: bool = True) -> list[Pair]:
    """Read a list: on each line a path, and the path or number of its label, separated by spaces.

    Args:
        path: the text file; empty lines are skipped.
        labelled: whether a line must have a label; if not, what follows the path is ignored.

    Raises:
        CafxError: the list is missing or empty, or a line (named by its number) lacks its label or has more.
    """
    pairs = []
    for number, line in enumerate(read_text_list(path, "images").split("\n"), 1):
        words = line.split()
        if not words:
            continue
        if labelled and len(words) != 2:
            found, expected = repr(line.strip()), "IMAGE LABEL, two paths without spaces in them"
            problem = "has no label" if len(words) == 1 else "has more than an image and a label"
            raise CafxError(problem, where=f"{path}:{number}", found=found, expected=expected)
        pairs.append((words[0], words[1] if labelled else ""))
    if not pairs:
        raise CafxError("the list is empty", where=path)
    return pairs
