"""Images with their boxes and regions: from window files, databases and py-faster-rcnn's roidb."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx_lib_boxes import encode_pixels, overlaps
from cafx_lib_feed.lists import read_text_list
from cafx_lib_rpn import invalid_objects, valid

Array = npt.NDArray[Any]
WINDOW_FIELDS = 6
IMAGE_FIELDS = 6


@attrs.define(eq=False)
class Entry:
    """An image with its regions; one of a database is known only when it is read.

    Attributes:
        image: path of the image, or key in the database.
        boxes: regions (x1, y1, x2, y2), R×4, in whole pixels.
        classes: the class of the object that each region overlaps most; 0 for none.
        overlap: that overlap.
        truth: which regions are the objects themselves.
        flipped: whether the image is flipped from left to right.
        boxes_flipped: whether the boxes are already those of the flipped image.
        size: width and height of the image, if known.
        targets: (class, dx, dy, dw, dh) of each region, R×5; computed by `with_targets`.
    """

    image: str | bytes
    boxes: Array
    classes: Array
    overlap: Array
    truth: Array
    flipped: bool = False
    boxes_flipped: bool = False
    size: tuple[int, int] | None = None
    targets: Array | None = None

    @property
    def key(self) -> bytes:
        """The image's key in the database."""
        return self.image if isinstance(self.image, bytes) else self.image.encode()

    def boxes_in(self, width: int) -> Array:
        """The boxes in the image as it is used.

        Args:
            width: width of the image.
        """
        if not self.flipped or self.boxes_flipped:
            return self.boxes
        boxes = self.boxes.copy()
        boxes[:, 0], boxes[:, 2] = width - 1 - self.boxes[:, 2], width - 1 - self.boxes[:, 0]
        return boxes


def of_key(key: bytes) -> Entry:
    """An image of a database."""
    nothing = np.empty(0, np.int64)
    return Entry(key, np.empty((0, 4), np.float32), nothing, nothing.astype(np.float32), nothing.astype(bool))


def flipped(entries: Iterable[Entry]) -> list[Entry]:
    """The same images, flipped from left to right; dx changes its sign."""
    signs = np.array([1, -1, 1, 1, 1], np.float32)
    return [
        attrs.evolve(each, flipped=True, targets=None if each.targets is None else each.targets * signs)
        for each in entries
    ]


def read_windows(path: str, root: str) -> list[Entry]:
    """Read a window file, R-CNN's list of images and regions.

    It has for each image the fields ``# number``, path, channels, height, width, number of windows; and for
    each window label, overlap, x1, y1, x2, y2. Windows with a label and an overlap of 1 are objects.

    Args:
        path: the file.
        root: prefix of the images' paths.

    Raises:
        CafxError: the file is missing, empty or malformed, or the box of an object is not valid.
    """
    tokens = read_text_list(path, "windows").split()
    entries: list[Entry] = []
    at = 0
    while at < len(tokens):
        where = f"{path}: image {len(entries)}"
        head = tokens[at : at + 1 + IMAGE_FIELDS]
        if head[0] != "#" or head[1:2] != [str(len(entries))]:
            found = " ".join(head[:2])
            raise CafxError("images are not numbered in order", where=where, found=found, expected=f"# {len(entries)}")
        try:
            name, (_, height, width, count) = head[2], (int(each) for each in head[3:])
            at += len(head)
            fields = tokens[at : at + WINDOW_FIELDS * count]
            values = np.array(fields, np.float64).reshape(count, WINDOW_FIELDS)
        except (IndexError, ValueError) as error:
            raise CafxError("the list is truncated, or a field is not a number", where=where) from error
        at += len(fields)
        entries.append(_checked(_of_windows(root + name, values, (width, height)), where))
    if not entries:
        raise CafxError("the list is empty", where=path)
    return entries


def _of_windows(image: str, windows: Array, size: tuple[int, int]) -> Entry:
    classes, overlap = windows[:, 0].astype(np.int64), windows[:, 1].astype(np.float32)
    truth = (overlap >= 1) & (classes > 0)
    return Entry(image, windows[:, 2:].astype(np.float32), np.where(overlap > 0, classes, 0), overlap, truth, size=size)


def of_roidb(roidb: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """Images of py-faster-rcnn's roidb: one dictionary each.

    It reads ``image``, ``boxes``, ``gt_classes`` and ``flipped``; ``max_classes``, ``max_overlaps``,
    ``bbox_targets``, ``width`` and ``height`` if they are there. Boxes of flipped images are already flipped.

    Raises:
        CafxError: an entry lacks what is needed, or the box of an object is not valid.
    """
    entries = []
    for index, each in enumerate(roidb):
        lacking = {"image", "boxes", "gt_classes"} - set(each)
        if lacking:
            raise CafxError(f"entry {index} of the roidb lacks {', '.join(sorted(lacking))}", found=", ".join(each))
        boxes = np.asarray(each["boxes"], np.float32).reshape(-1, 4)
        classes = np.asarray(each["gt_classes"], np.int64)
        truth = classes > 0
        own, overlap = each.get("max_classes"), each.get("max_overlaps")
        if own is None or overlap is None:
            own, overlap = _assigned(boxes, classes)
        entry = Entry(
            str(each["image"]),
            boxes,
            np.asarray(own, np.int64),
            np.asarray(overlap, np.float32),
            truth,
            bool(each.get("flipped", False)),
            True,
            (int(each["width"]), int(each["height"])) if "width" in each and "height" in each else None,
            np.asarray(each["bbox_targets"], np.float32) if "bbox_targets" in each else None,
        )
        entries.append(_checked(entry, f"entry {index} of the roidb"))
    if not entries:
        raise CafxError("the roidb is empty", remedy="pass a list of images with their boxes")
    return entries


def _checked(entry: Entry, where: str) -> Entry:
    """The entry, if the boxes of its objects are valid."""
    wrong = invalid_objects(entry.boxes[entry.truth])
    if wrong:
        raise CafxError("the box of an object is not valid", where=where, **wrong)
    return entry


def _assigned(boxes: Array, classes: Array) -> tuple[Array, Array]:
    """Class and overlap of the object that each region overlaps most."""
    objects = np.flatnonzero(classes > 0)
    if not len(objects):
        return np.zeros(len(boxes), np.int64), np.zeros(len(boxes), np.float32)
    overlap = overlaps(boxes, boxes[objects], pixels=True)
    most = overlap.max(axis=1)
    return np.where(most > 0, classes[objects[overlap.argmax(axis=1)]], 0), most


def with_targets(entries: Iterable[Entry], least: float) -> None:
    """Compute the targets of entries that have none: offsets to the object that a region overlaps most.

    Args:
        entries: images whose objects are among their regions.
        least: least overlap of a region that has a target.
    """
    for each in entries:
        if each.targets is not None:
            continue
        targets = np.zeros((len(each.boxes), 5), np.float32)
        objects, examples = np.flatnonzero(each.truth), np.flatnonzero((each.overlap >= least) & valid(each.boxes))
        if len(objects) and len(examples):
            regions = each.boxes[examples].astype(np.float64)
            nearest = overlaps(regions, each.boxes[objects].astype(np.float64), pixels=True).argmax(axis=1)
            targets[examples, 0] = each.classes[examples]
            targets[examples, 1:] = encode_pixels(each.boxes[objects[nearest]].astype(np.float64), regions)
        each.targets = targets


def check_classes(classes: Array, count: int, name: str) -> None:
    """Check that the classes of an image's regions are below the number of classes.

    Raises:
        CafxError: one is not.
    """
    wrong = classes[(classes < 0) | (classes >= count)]
    if len(wrong):
        expected = f"below num_classes: {count}"
        raise CafxError(f"a class of image {name} is not valid", found=int(wrong[0]), expected=expected)


def statistics(entries: Iterable[Entry], classes: int) -> tuple[Array, Array]:
    """Means and standard deviations of the offsets of each class, classes×4.

    Args:
        entries: images with targets.
        classes: number of classes with the background, whose offsets count as 0 ± 1.
    """
    rows = np.concatenate([each.targets for each in entries if each.targets is not None])
    means, deviations = np.zeros((classes, 4)), np.ones((classes, 4))
    for label in range(1, classes):
        own = rows[rows[:, 0] == label, 1:].astype(np.float64)
        if len(own):
            means[label], deviations[label] = own.mean(axis=0), np.maximum(own.std(axis=0), SMALLEST)
    return means, deviations


def normalise(entries: Iterable[Entry], means: Array, deviations: Array) -> None:
    """Subtract the means of each class from its offsets, and divide them by the standard deviations.

    Raises:
        CafxError: a class is not below the number of classes.
    """
    for each in entries:
        if each.targets is not None:
            labels = each.targets[:, 0].astype(np.int64)
            check_classes(labels, len(means), str(each.image))
            scaled = (each.targets[:, 1:] - means[labels]) / deviations[labels]
            each.targets[:, 1:] = np.where(labels[:, None] > 0, scaled, 0)


SMALLEST = 1e-7
"""Least standard deviation, so that equal offsets are not divided by 0."""
