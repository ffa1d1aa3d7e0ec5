"""Annotations in the format of PASCAL VOC: an XML file for each image."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any, NoReturn
from xml.etree import ElementTree  # nosec B405  # document types are refused, sizes are limited

from cafx.kernel import CafxError
from cafx.kernel.files import read_file
from cafx_command_convert_annotations.entries import Entry, Source, Thing, found_image, inside
from cafx_lib_feed.lists import read_text_list

CORNERS = ("xmin", "ymin", "xmax", "ymax")
MOST_BYTES = 16 << 20
"""Size above which a file is not read: annotations have some kilobytes."""


class _Refused(Exception):
    """The file has a document type, which could define entities."""


class _Builder(ElementTree.TreeBuilder):
    def doctype(self, name: str, public: str | None, system: str | None) -> NoReturn:
        """Refuse a document type before any of its entities is defined."""
        raise _Refused


def from_folder(root: str, folder: str) -> Source:
    """The XML files of a folder, in the order of their names; each names its image.

    Raises:
        CafxError: there are none.
    """
    files = sorted(Path(folder).glob("*.xml"))
    if not files:
        raise CafxError("has no annotations", where=folder, expected="a folder of .xml files")

    def read(number: int) -> Entry:
        tree = _tree(files[number])
        stem = files[number].stem
        name = inside((tree.findtext("filename") or f"{stem}.jpg").strip(), str(files[number]))
        return _entry(tree, found_image(root, name, stem), str(files[number]))

    return Source([str(path) for path in files], read)


def from_list(root: str, path: str) -> Source:
    """A list with the paths of an image and its XML file per line, both relative to ``root``.

    Raises:
        CafxError: the list is missing or empty, or a line (named by its number) does not have two paths.
    """
    pairs = []
    for number, line in enumerate(read_text_list(path, "images and annotations").split("\n"), 1):
        words = line.split()
        if len(words) not in (0, 2):
            expected = "IMAGE ANNOTATION.xml, two paths without spaces in them"
            raise CafxError("is not an entry", where=f"{path}:{number}", found=repr(line.strip()), expected=expected)
        if words:
            pairs.append((words[0], words[1]))
    if not pairs:
        raise CafxError("the list is empty", where=path)

    def read(number: int) -> Entry:
        image, annotation = pairs[number]
        return _entry(_tree(Path(root + annotation)), image, root + annotation)

    return Source([annotation for _, annotation in pairs], read)


def _tree(path: Path) -> ElementTree.Element:
    """The root element of an annotation."""
    data = read_file(path, MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise CafxError("is too large for an annotation", where=str(path), expected=f"at most {MOST_BYTES} bytes")
    try:
        tree = ElementTree.fromstring(data, ElementTree.XMLParser(target=_Builder()))  # nosec B314  # no document type
    except _Refused:
        raise CafxError("has a document type", where=str(path), remedy="remove <!DOCTYPE …>: it is not read") from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise CafxError(f"is not XML: {error}", where=str(path)) from None
    if tree.tag != "annotation":
        raise CafxError("is not an annotation", where=str(path), found=f"<{tree.tag}>", expected="<annotation>")
    return tree


def _entry(tree: ElementTree.Element, image: str, where: str) -> Entry:
    things = []
    for element in tree.iter("object"):
        name = (element.findtext("name") or "").strip()
        box = element.find("bndbox")
        if not name or box is None:
            raise CafxError("has an object without name or bndbox", where=where, found=name or "no name")
        corners: Any = tuple(_number(box, corner, where) for corner in CORNERS)
        difficult = (element.findtext("difficult") or "0").strip() not in ("", "0")
        things.append(Thing(name, corners, difficult))
    size = tree.find("size")
    sides = [int(_number(size, side, where)) for side in ("height", "width")] if size is not None else [0, 0]
    return Entry(image, PurePath(image).stem, (sides[0], sides[1]) if min(sides) > 0 else None, tuple(things))


def _number(element: ElementTree.Element, name: str, where: str) -> float:
    text = (element.findtext(name) or "").strip()
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value - value != 0:
        raise CafxError(f"{name} of {element.tag} is not a number", where=where, found=repr(text))
    return value
