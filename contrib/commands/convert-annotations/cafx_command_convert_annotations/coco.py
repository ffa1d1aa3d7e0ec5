"""Annotations in the format of COCO: one JSON file for all images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cafx.kernel import CafxError
from cafx.kernel.files import read_file
from cafx_command_convert_annotations.entries import Entry, Source, Thing, inside

LISTS = ("images", "annotations", "categories")


def from_json(path: str) -> Source:
    """The images of an instances file, in its order; a class is called by the number of its category.

    Raises:
        CafxError: the file is missing or has no images, annotations or categories.
    """
    try:
        content = json.loads(read_file(path))
    except (ValueError, RecursionError) as error:
        raise CafxError(f"is not JSON: {error}", where=path) from None
    if not isinstance(content, dict) or not all(isinstance(content.get(each), list) for each in LISTS):
        found = ", ".join(map(repr, content)) if isinstance(content, dict) else type(content).__name__
        raise CafxError(
            "is not a file of COCO instances", where=path, found=found, expected="lists " + ", ".join(LISTS)
        )
    images = content["images"]
    if not images:
        raise CafxError("has no images", where=path)
    classes = [(str(_field(each, "id", int, path)), _field(each, "name", str, path)) for each in content["categories"]]
    by_image: dict[int, list[Mapping[str, Any]]] = {}
    for each in content["annotations"]:
        by_image.setdefault(_field(each, "image_id", int, path), []).append(each)

    def read(number: int) -> Entry:
        image = images[number]
        identity = _field(image, "id", int, path)
        where = f"{path}: image {identity}"
        name = inside(_field(image, "file_name", str, where), where)
        height, width = image.get("height"), image.get("width")
        known = isinstance(height, int) and isinstance(width, int) and min(height, width) > 0
        things = tuple(_thing(each, where) for each in by_image.get(identity, ()))
        return Entry(name, str(identity), (height, width) if known else None, things)

    shown = [str(each.get("file_name")) if isinstance(each, dict) else repr(each) for each in images]
    return Source(shown, read, sorted(classes, key=lambda each: int(each[0])))


def _thing(annotation: Mapping[str, Any], where: str) -> Thing:
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(each, int | float) for each in box):
        raise CafxError(
            "has an annotation without bbox", where=where, found=repr(box), expected="[x, y, width, height]"
        )
    x, y, width, height = map(float, box)
    category = _field(annotation, "category_id", int, where)
    return Thing(str(category), (x, y, x + width, y + height), bool(annotation.get("iscrowd", 0)))


def _field(item: Any, name: str, kind: type, where: str) -> Any:
    value = item.get(name) if isinstance(item, dict) else None
    if not isinstance(value, kind):
        expected = {int: "a whole number", str: "a string"}[kind]
        raise CafxError(f"an item has no '{name}'", where=where, found=repr(value), expected=expected)
    return value
