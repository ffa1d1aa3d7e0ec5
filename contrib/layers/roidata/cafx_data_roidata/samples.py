"""A few images with regions, and the conformance cases."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cafx.kernel import registry
from cafx_lib_annotated.records import record_bytes, with_instances
from cafx_lib_boxes import overlaps
from cafx_lib_feed.datum import datum_bytes
from cafx_lib_feed.images import encode
from cafx_lib_feed.samples import folder

SIZES = ((20, 30), (24, 18), (16, 32), (30, 20))
"""Height and width of each image."""
CLASSES = 3


def image(index: int) -> Any:
    """Random pixels of an image, H×W×3."""
    return np.random.default_rng(index).integers(0, 256, (*SIZES[index], 3), dtype=np.uint8)


def objects(index: int) -> Any:
    """Rows (x1, y1, x2, y2, class) of an image."""
    height, width = SIZES[index]
    first, second = [2, 3, width // 2, height // 2, 1], [width // 3, 2, width - 2, height - 3, 2]
    return np.array([first, second][: 1 + index % 2], np.float64)


@functools.cache
def window_file() -> str:
    """The path of a window file with objects, regions near them and random regions of the images."""
    lines = []
    for index, (height, width) in enumerate(SIZES):
        path = Path(folder()) / f"region{index}.png"
        path.write_bytes(encode(image(index), ".png", "sample"))
        rng, truth = np.random.default_rng(index), objects(index)
        corner = rng.integers(0, (width // 2, height // 2), (30, 2))
        size = rng.integers(2, (width // 2, height // 2), (30, 2))
        near = np.repeat(truth[:, :4], 6, axis=0) - [1, 0, 0, 0] - rng.integers(0, 2, (6 * len(truth), 4))
        boxes = np.concatenate([truth[:, :4], near, np.concatenate([corner, corner + size], axis=1)])
        overlap = overlaps(boxes, truth[:, :4], pixels=True)
        labels, most = truth[overlap.argmax(axis=1), 4], overlap.max(axis=1)
        lines += [f"# {index}", path.name, f"3 {height} {width}", str(len(boxes))]
        for label, value, box in zip(labels, most, boxes, strict=True):
            lines.append(f"{int(label)} {value:.6f} " + " ".join(str(int(each)) for each in box))
    found = folder() / "regions.txt"
    found.write_text("\n".join(lines))
    return str(found)


@functools.cache
def database() -> str:
    """The path of a database of the images and their objects, of which the last is difficult; raw and encoded."""
    items = []
    for index, (height, width) in enumerate(SIZES):
        truth = objects(index)
        rows = np.zeros((len(truth), 7), np.float32)
        rows[:, 0] = truth[:, 4]
        rows[:, 2:6] = (truth[:, :4] + [0, 0, 1, 1]) / [width, height, width, height]
        rows[-1, 6] = index == len(SIZES) - 1
        pixels, encoded = image(index), index % 2 == 1
        content = encode(pixels, ".png", "sample") if encoded else None
        raw = None if encoded else np.ascontiguousarray(pixels.transpose(2, 0, 1))
        items.append(
            (b"%08d" % index, record_bytes(datum_bytes(raw, 0, image=content, encoded=encoded), with_instances(rows)))
        )
    path = folder() / "regions_lmdb"
    with registry().load("database", "LMDB").create(path) as writer:
        writer.put(items)
    return str(path)


def cases(case: Any) -> Iterator[Any]:
    """The cases; ``case`` is the class of them."""
    from cafx.conformance.kinds.data import DataCase

    windows = {"source": window_file(), "root_folder": f"{folder()}/", "num_classes": CLASSES}
    small = {"scale": [12, 16], "max_size": 24}
    objects = {**windows, **small, "has_rpn": True, "ims_per_batch": 1}
    yield DataCase("objects", tops=3, options=objects, unordered="images are shuffled in every epoch")
    records = {"source": database(), "num_classes": CLASSES, "has_rpn": True, "ims_per_batch": 1}
    yield case("database", tops=3, options={**records, **small, "use_difficult": True, "pixel_mean": [1.0, 2.0, 3.0]})
    drawn = {"batch_size": 16, "fg_fraction": 0.5, "fg_thresh": 0.6, "bg_thresh_hi": 0.4, "bg_thresh_lo": 0.0}
    yield case("regions", tops=6, options={**windows, **small, **drawn, "bbox_thresh": 0.6})
    means = {"precomputed": True, "normalize": True, "bbox_mean": [0.1, 0.0, 0.0, 0.2], "bbox_std": [0.5] * 4}
    given = {**means, "inside_weight": [1.0, 2.0, 3.0, 4.0], "use_flipped": False, "aspect_grouping": False}
    yield case("five_tops", tops=5, options={**windows, **small, **given, "batch_size": 8})
    plain = {"normalize": False, "scale": [12], "max_size": 0}
    yield case("three_tops", tops=3, options={**windows, **plain, "batch_size": 8})
