"""Conformance cases of ``cafx convert-annotations``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from cafx.conformance.kinds.command import CommandCase
from cafx.conformance.kinds.files import COUNT, SIDE, database_contents, write_images


def write_annotations(folder: Path) -> None:
    """Write four images with a box each, in COCO's format."""
    write_images(folder)
    images = [{"id": n, "file_name": f"{n}.png", "height": SIDE, "width": SIDE} for n in range(COUNT)]
    boxes = [{"image_id": n, "category_id": 7, "bbox": [1, 1, 3, 4], "iscrowd": 0} for n in range(COUNT)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 7, "name": "cat"}]}
    (folder / "coco.json").write_text(json.dumps(content))


def cases() -> Iterable[CommandCase]:
    """Four images with a box each."""
    arguments = ["images/", "coco.json", "db", "--labelmap-out", "map.prototxt", "--sizes-out", "sizes.txt"]
    outputs = ["db", "map.prototxt", "sizes.txt"]
    yield CommandCase(
        "coco",
        arguments,
        write_annotations,
        outputs,
        kept=["db.part/*"],
        contents=database_contents,
        skip={"missing-file": "the label map, which --resume needs, is written first"},
    )
