"""Label maps and lists of image sizes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cafx.kernel import CafxError, Registry, schema
from cafx.kernel.files import read_file
from cafx_lib_ssd.annotations import LabelMap


class ImageSize(NamedTuple):
    """The name and size of an image."""

    name: str
    height: int
    width: int


def read_label_map(path: str | Path, plugins: Registry | None = None) -> LabelMap:
    """Read a label map.

    Args:
        path: a prototxt of items.
        plugins: the registry whose schema has LabelMap.

    Raises:
        CafxError: the file is unreadable or has no items, or two items have the same label or name.
    """
    labels = LabelMap.from_proto(schema(plugins).read_text(path, "LabelMap"))
    if not labels.item:
        raise CafxError("has no items", where=str(path), expected='item { name: "cat" label: 1 }, …')
    for field in ("label", "name"):
        values = [getattr(item, field) for item in labels.item]
        for value in values:
            if values.count(value) > 1:
                raise CafxError(f"two items have the same {field}", where=str(path), found=f"{field}: {value}")
    return labels


def read_sizes(path: str | Path) -> list[ImageSize]:
    """Read a list of image sizes: one line ``name height width`` for each image, in the order of the data.

    Args:
        path: the list; empty lines are skipped.

    Raises:
        CafxError: the file is unreadable or has no entries, or a line (named by its number) is not an entry.
    """
    sizes = []
    for number, line in enumerate(read_file(path).decode("utf-8", "surrogateescape").splitlines(), 1):
        if not line.strip():
            continue
        name, *numbers = line.rsplit(maxsplit=2)
        if len(numbers) != 2 or not all(each.isdecimal() and int(each) for each in numbers):
            expected = "a name, a height and a width in pixels"
            raise CafxError("is not an image's size", where=f"{path}:{number}", found=line.strip(), expected=expected)
        sizes.append(ImageSize(name.strip(), int(numbers[0]), int(numbers[1])))
    if not sizes:
        raise CafxError("the list is empty", where=str(path), expected="lines of the form: name height width")
    return sizes
