"""What is to be converted: images, their objects, and the classes of the objects."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath
from typing import Any

import attrs
import numpy as np

from cafx.kernel import CafxError
from cafx_lib_annotated.records import COLUMNS, Rows, with_instances

BACKGROUND = "none_of_the_above"


@attrs.frozen
class Thing:
    """One object of an image.

    Attributes:
        name: its class, as annotation files call it.
        box: xmin, ymin, xmax, ymax in pixels.
        difficult: whether it is hard to recognise, or a crowd.
    """

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


@attrs.frozen
class Entry:
    """One image to convert.

    Attributes:
        path: the image, relative to the root folder.
        name: its name in result files.
        size: height and width according to its annotation; None if that does not say.
        things: its objects.
    """

    path: str
    name: str
    size: tuple[int, int] | None
    things: tuple[Thing, ...]


@attrs.frozen
class Item:
    """One class of a label map.

    Attributes:
        name: as annotation files and result files call it.
        label: its number.
        shown: as people call it.
    """

    name: str
    label: int
    shown: str


@attrs.frozen
class Source:
    """A list of annotations that are read one at a time.

    Attributes:
        paths: what each is called in errors.
        read: reads one by its position.
        classes: names of all classes and how people call them, in order; None if only the objects tell.
    """

    paths: Sequence[str]
    read: Callable[[int], Entry]
    classes: Sequence[tuple[str, str]] | None = None


def made_labels(source: Source, entries: Iterable[Entry | CafxError]) -> list[Item]:
    """Number the classes from 1, in the order of the source or of their names; 0 is the background."""
    classes = source.classes
    if classes is None:
        names = {thing.name for entry in entries if isinstance(entry, Entry) for thing in entry.things}
        classes = [(name, name) for name in sorted(names)]
    items = [Item(BACKGROUND, 0, "background")]
    return items + [Item(name, label, shown) for label, (name, shown) in enumerate(classes, 1)]


def numbers(items: Iterable[Item], classes: Sequence[tuple[str, str]] | None) -> dict[str, int]:
    """The label of each class by its name in annotation files.

    A map may also call a class as people do: ``person`` for COCO's ``1``.
    """
    labels = {item.name: item.label for item in items}
    shown = {name: labels[alias] for name, alias in classes or () if name not in labels and alias in labels}
    return labels | shown


def label_map_text(items: Iterable[Item]) -> str:
    """A label map as prototxt."""
    return "".join(
        f"item {{\n  name: {_quoted(item.name)}\n  label: {item.label}\n  display_name: {_quoted(item.shown)}\n}}\n"
        for item in items
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def rows_of(entry: Entry, size: tuple[int, int], labels: dict[str, int], bad: list[str]) -> Rows:
    """The annotations of an image as rows; what is left out is described in ``bad``.

    A box that reaches beyond the image is cut to it.

    Args:
        entry: the image.
        size: its height and width.
        labels: the labels of the classes.
        bad: gets a phrase for each box without area in the image, and each class without label.
    """
    rows = []
    sides = np.array([size[1], size[0]] * 2)
    for thing in entry.things:
        if thing.name not in labels:
            bad.append(f"class '{thing.name}' is not in the label map")
            continue
        box = np.clip(np.array(thing.box) / sides, 0, 1)
        if not all(map(math.isfinite, thing.box)) or box[0] >= box[2] or box[1] >= box[3]:
            shown = " ".join(f"{each:g}" for each in thing.box)
            bad.append(f"box {shown} of '{thing.name}' has no area in the image of {size[0]}×{size[1]}")
            continue
        rows.append([labels[thing.name], 0, *box, thing.difficult])
    return with_instances(np.array(rows, np.float32).reshape(-1, COLUMNS))


def inside(name: Any, where: str) -> str:
    """A path from an annotation file, if it stays below the root folder.

    Raises:
        CafxError: it does not, or is not a path.
    """
    if not isinstance(name, str) or not name or PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise CafxError("names no image below ROOT", where=where, found=repr(name), expected="a relative path")
    return name


def found_image(root: str, name: str, stem: str) -> str:
    """A path below ``root``: ``name``, or if it does not exist ``stem`` with the suffix of an image that does."""
    if not os.path.exists(root + name):  # noqa: PTH110 - pathlib raises where a name is too long
        for suffix in (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG"):
            if os.path.exists(root + stem + suffix):  # noqa: PTH110 - as above
                return stem + suffix
    return name
