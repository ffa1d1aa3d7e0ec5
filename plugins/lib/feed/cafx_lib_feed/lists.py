"""Lists: text files that name images, windows or HDF5 files; an image list has one path and label per line."""

from __future__ import annotations

import os
import re
from pathlib import Path

from cafx.kernel import CafxError
from cafx.kernel.files import Kinds, kind_of_file, read_file

NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
"""Each number matches in one way only, so that a row of them is searched in linear time."""
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}


def read_text_list(path: str, what: str) -> str:
    """The text of a list; another kind of file in its place is named.

    Args:
        path: the list.
        what: what it lists, for errors: ``images``.

    Raises:
        CafxError: the file is missing, or no list.
    """
    kind = kind_of_file(path)
    if kind is None or kind is Kinds.EMPTY:
        return read_file(path).decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    listable = kind in (Kinds.IMAGE, Kinds.HDF5)
    raise CafxError(
        f"is not a list of {what}",
        where=path,
        found=kind.name,
        expected=f"a text file that lists {what}",
        remedy=kind.belongs if not listable else f"write {path} into a text file, and name that file here",
    )


def read_list(path: str) -> list[tuple[str, int]]:
    """Read an image list; the label follows the last space of a line.

    Args:
        path: the text file.

    Returns:
        The path and the label of each line; empty lines are skipped.

    Raises:
        CafxError: the list is missing or empty, or a line (named by its number) lacks a path or a whole label.
    """
    entries = []
    for number, line in enumerate(read_text_list(path, "images").split("\n"), 1):
        text = line.strip()
        if text:
            name, _, label = text.rpartition(" ")
            entries.append((name.rstrip(), _label(label, text, f"{path}:{number}", bool(name.strip()))))
    if not entries:
        raise CafxError("the list is empty", where=path)
    return entries


def _label(label: str, line: str, where: str, named: bool) -> int:
    """A label as a whole number; 1.0 is 1."""
    if named and re.fullmatch(NUMBER, label) and float(label).is_integer():
        return int(float(label))
    raise _not_an_entry(line, where)


def _not_an_entry(line: str, where: str) -> CafxError:
    """The error for a line that is no path and label; says what stands in the way."""
    expected = "PATH LABEL, with a space between them"
    between = re.fullmatch(rf"(.*\S)\s*([,;\t])\s*({NUMBER})", line)
    label = re.fullmatch(rf"(.*\S)\s+({NUMBER})", line)
    if between:
        what, remedy = f"separates path and label by {SEPARATORS[between[2]]}", f"write: {between[1]} {between[3]}"
    elif label:
        what = f"has a label that is not a whole number, {label[2]}"
        remedy = "labels of other kinds come from HDF5Data"
    elif re.fullmatch(NUMBER, line):
        what, remedy = "has a label but no path", "put the path of the image before it"
    else:
        what, remedy = "has no label", f"if there are none, write: {line} 0"
    return CafxError(what, where=where, found=repr(line), expected=expected, remedy=remedy)


def missing_image(root: str, name: str) -> str | None:
    """Why the image of a line is not there, if a similar path exists or the line has several labels.

    Args:
        root: the prefix of all paths.
        name: the path in the line.

    Example:
        >>> missing_image("", "image.png 4 1")
        'the line has several labels (4 1 and the last one): ImageData reads one, HDF5Data any number'
    """
    if root and not root.endswith("/") and os.path.exists(Path(root, name)):  # noqa: PTH110 - pathlib raises where a name is too long
        return f"root_folder is put before the path as it is: end it with /, '{root}/'"
    several = re.fullmatch(rf"(.*?\S)((?: +{NUMBER})+)", name)
    if several:
        labels = several[2].strip()
        return f"the line has several labels ({labels} and the last one): ImageData reads one, HDF5Data any number"
    if "\\" in name and os.path.exists(root + name.replace("\\", "/")):  # noqa: PTH110 - as above
        return "folders are separated by /, not by a backslash"
    return None
