"""Image lists: one path and label per line; paths may contain spaces."""

from __future__ import annotations

from cafx.kernel import CafxError
from cafx.kernel.schema import read_file


def read_list(path: str) -> list[tuple[str, int]]:
    """Read an image list; the label follows the last space of a line.

    Args:
        path: the text file.

    Returns:
        The path and the label of each line; empty lines are skipped.

    Raises:
        CafxError: the list is missing or empty, or a line (named by its number) lacks a path or label.
    """
    entries = []
    for number, line in enumerate(read_file(path).decode("utf-8", "surrogateescape").split("\n"), 1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        try:
            entries.append((name.rstrip(), int(label)))
        except ValueError:
            entries.append(("", 0))
        if not entries[-1][0]:
            where, found = f"{path}:{number}", repr(line.strip())
            raise CafxError("is not a path and a label", where=where, found=found, expected="PATH LABEL")
    if not entries:
        raise CafxError("the list is empty", where=path)
    return entries
