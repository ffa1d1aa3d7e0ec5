"""Conformance cases of DetectionEvaluate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cafx.conformance import Case


def cases() -> Iterable[Case]:
    """Hits, misses, double hits and difficult objects; boxes in pixels."""
    from cafx.conformance import Case
    from cafx_lib_feed import samples

    sizes = samples.folder() / "evaluate_sizes.txt"
    sizes.write_text("a 30 40\nb 60 50\n")
    yield Case("plain", *_example(), options={"num_classes": 3})
    strict = {"num_classes": 3, "overlap_threshold": 0.9, "evaluate_difficult_gt": False}
    yield Case("strict", *_example(), options=strict)
    resized = {"resize_mode": "FIT_LARGE_SIZE_AND_PAD", "height": 20, "width": 20}
    pixels = {"num_classes": 4, "background_label_id": 3, "name_size_file": str(sizes), "resize_param": resized}
    yield Case("pixels", *_example(), options=pixels)


def _example() -> tuple[Any, Any]:
    """Five detections in two images, and four objects."""
    from cafx.conformance import values

    box, other = [0.1, 0.2, 0.5, 0.6], [0.4, 0.4, 0.9, 0.8]
    found = [[0, 1, 0.5, *box], [0, 1, 0.7, *box], [0, 2, 0.6, *other], [1, 1, 0.9, *other], [1, 2, 0.2, *box]]
    truth = [[0, 1, 0, *box, 0], [0, 2, 0, *other, 1], [1, 1, 0, *box, 0], [-1] * 8]
    return values([[found]]), values([[truth]])
