"""Small images and their labels for the conformance cases of data layers."""

from __future__ import annotations

import functools

import numpy as np

from cafx_lib_feed.images import encode
from cafx_lib_feed.samples import folder, pictures

__all__ = ["folder", "pair_list"]
CLASSES = 4


@functools.cache
def pair_list(kind: str = "PIXEL") -> str:
    """The path of a list of five images and, by kind, the paths of their labels, numbers, or nothing."""
    lines = []
    for index, picture in enumerate(pictures()):
        names = f"pixels{index}.png", f"labels{index}.png"
        labels = np.random.default_rng(index).integers(0, CLASSES, (*picture.shape[1:], 1), dtype=np.uint8)
        for name, image in zip(names, (np.ascontiguousarray(picture.transpose(1, 2, 0)), labels), strict=True):
            (folder() / name).write_bytes(encode(image, ".png", name))
        lines.append({"PIXEL": " ".join(names), "IMAGE": f"{names[0]} {index % CLASSES}", "NONE": names[0]}[kind])
    path = folder() / f"pairs-{kind}.txt"
    path.write_text("\n".join(lines) + "\n")
    return str(path)
