"""Lists of images: a path and a label a line, the path with spaces if it likes."""

from __future__ import annotations

from cafx.kernel import CafxError
from cafx.kernel.schema import read_file


def read_list(path: str) -> list[tuple[str, int]]:
    """Paths and labels: of each line, what stands before its last space, and after.

    Raises:
        CafxError: a list that is missing or empty, or a line without path or label, by its number.
    """
    lines = []
    for number, line in enumerate(read_file(path).decode("utf-8", "surrogateescape").split("\n"), 1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        try:
            lines.append((name.rstrip(), int(label)))
        except ValueError:
            lines.append(("", 0))
        if not lines[-1][0]:
            raise CafxError(
                "this line is no path and label", where=f"{path}:{number}", found=repr(line.strip()),
                expected="PATH LABEL",
            )  # fmt: skip
    if not lines:
        raise CafxError("the list is empty", where=path)
    return lines
