"""A small database of annotated images, and the conformance cases."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from cafx.kernel import registry
from cafx_lib_annotated.records import DIFFICULT_COLUMN, Rows, no_rows, record_bytes, with_instances
from cafx_lib_feed.datum import datum_bytes
from cafx_lib_feed.images import encode
from cafx_lib_feed.samples import folder

COUNT, CLASSES = 5, 3
HEIGHT, WIDTH = 18, 24


def boxes(count: int, rng: np.random.Generator) -> Rows:
    """Random annotations, at least a tenth of the image wide and high."""
    rows = no_rows() if not count else np.zeros((count, 7), np.float32)
    rows[:, 0] = rng.integers(1, 1 + CLASSES, count)
    low = rng.uniform(0, 0.6, (count, 2))
    rows[:, 2:4], rows[:, 4:6] = low, low + rng.uniform(0.1, 0.4, (count, 2))
    rows[:, DIFFICULT_COLUMN] = rng.integers(0, 2, count)
    return with_instances(rows)


@functools.cache
def database(encoded: bool = False, annotated: bool = True, fixed: bool = True) -> str:
    """The path of an LMDB of five images.

    Args:
        encoded: PNG instead of pixels.
        annotated: AnnotatedDatums with boxes, of which the second image has none; else without annotations.
        fixed: all images have one size.
    """
    path = folder() / f"annotated{encoded:d}{annotated:d}{fixed:d}"
    rng = np.random.default_rng(0)
    items = []
    for index in range(COUNT):
        height = HEIGHT if fixed else HEIGHT + 3 * index
        pixels = rng.integers(0, 256, (3, height, WIDTH), dtype=np.uint8)
        image = encode(np.ascontiguousarray(pixels.transpose(1, 2, 0)), ".png", "sample") if encoded else None
        datum = datum_bytes(None if encoded else pixels, index % CLASSES, image=image, encoded=encoded)
        value = record_bytes(datum, boxes((index + 2) % 4 if index != 1 else 0, rng))
        items.append((b"%08d" % index, value if annotated else without_annotations(datum)))
    with registry().load("database", "LMDB").create(path) as writer:
        writer.put(items)
    return str(path)


def without_annotations(datum: bytes) -> bytes:
    """An AnnotatedDatum that has a Datum and nothing else."""
    value = record_bytes(datum, no_rows())
    return value[: -len(record_bytes(b"", no_rows())[2:])]


@functools.cache
def label_map() -> str:
    """The path of a label map of the classes."""
    path = folder() / "labelmap.prototxt"
    path.write_text("".join(f'item {{ name: "c{i}" label: {i} display_name: "c{i}" }}\n' for i in range(1 + CLASSES)))
    return str(path)


def cases(case: Any) -> Iterator[Any]:
    """The cases of AnnotatedData, made by the class ``case``."""
    plain = {"source": database(), "backend": "LMDB", "batch_size": 3}
    several = {"source": database(True, True, False), "backend": "LMDB", "batch_size": 3}
    warp = {"resize_param": {"height": 12, "width": 17, "interp_mode": ["LINEAR", "AREA", "NEAREST", "CUBIC"]}}
    from cafx.conformance.kinds.data import DataCase

    shuffle = {"data_param": {"shuffle": True}}
    yield DataCase("plain", options={}, layer={"data_param": plain}, tops=2, records=COUNT, shuffle=shuffle)
    yield case(
        "sampled",
        tops=2,
        layer={
            "data_param": several,
            "transform_param": {
                "mean_value": [104.0, 117.0, 123.0],
                "mirror": True,
                "emit_constraint": {"emit_type": "CENTER"},
                "distort_param": _distortion(),
                "expand_param": {"prob": 0.5, "max_expand_ratio": 4.0},
                **warp,
            },
        },
        options={"anno_type": "BBOX", "label_map_file": label_map(), "batch_sampler": _samplers()},
    )
    noise = {"gauss_blur": True, "saltpepper": True, "saltpepper_param": {"fraction": 0.1, "value": [0, 255, 0]}}
    padded = {"resize_mode": "FIT_LARGE_SIZE_AND_PAD", "height": 16, "width": 16, "pad_mode": "MIRRORED"}
    yield case(
        "padded",
        tops=2,
        options={},
        layer={
            "data_param": {**several, "shuffle": True},
            "transform_param": {"resize_param": padded, "noise_param": noise, "crop_h": 10, "crop_w": 12},
        },
    )
    small = {"resize_mode": "FIT_SMALL_SIZE", "height": 15, "width": 15}
    yield case(
        "any_size",
        tops=2,
        options={},
        layer={"data_param": {**several, "batch_size": 1}, "transform_param": {"resize_param": small}},
    )
    yield case(
        "yolo",
        tops=2,
        options={"yolo_data_type": 1, "yolo_data_jitter": 0.6},
        layer={"data_param": several, "transform_param": {"mirror": True, **warp}},
    )
    yield case(
        "yolo_sampled",
        tops=2,
        options={"yolo_data_type": 1, "train_diffcult": True, "batch_sampler": _samplers()},
        layer={"data_param": {**several, "batch_size": 4}, "transform_param": {"resize_param": padded}},
    )
    yield case(
        "yolo_any_size",
        tops=2,
        options={"yolo_data_type": 1},
        layer={"data_param": {**several, "batch_size": 1}, "transform_param": {"resize_param": small}},
    )
    classes = {"source": database(False, False), "backend": "LMDB", "batch_size": 2}
    yield case("classes", options={}, layer={"data_param": classes, "transform_param": {"crop_size": 9}}, tops=2)
    yield case("images_only", options={}, layer={"data_param": {**plain, "batch_size": 4}})


def _distortion() -> dict[str, float]:
    ranges = {f"{name}_{end}": value for name in ("contrast", "saturation") for end, value in _ENDS.items()}
    return {
        "brightness_prob": 0.5,
        "brightness_delta": 32.0,
        "contrast_prob": 0.5,
        "saturation_prob": 0.5,
        "hue_prob": 0.5,
        "hue_delta": 18.0,
        "random_order_prob": 0.5,
        **ranges,
    }


_ENDS = {"lower": 0.5, "upper": 1.5}


def _samplers() -> list[dict[str, Any]]:
    sizes = {"min_scale": 0.3, "max_scale": 1.0, "min_aspect_ratio": 0.5, "max_aspect_ratio": 2.0}
    constraints = [
        {"min_jaccard_overlap": 0.3},
        {"max_jaccard_overlap": 0.9},
        {"min_sample_coverage": 0.1, "max_sample_coverage": 0.9},
        {"min_object_coverage": 0.5, "max_object_coverage": 1.0},
    ]
    drawn = [{"sampler": sizes, "sample_constraint": each, "max_trials": 50, "max_sample": 1} for each in constraints]
    return [{"use_original_image": True, "max_trials": 1, "max_sample": 1}, *drawn]
