"""DetectionOutput passes the conformance suite, equals a loop over its rule, and writes files whole."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.conformance import layer_suite
from cafx.kernel import TEST, CafxError, Net, schema

TestDetectionOutput = layer_suite("DetectionOutput")
CLASSES = 3


def build(options: str, images: int = 2, priors: int = 6, sets: int = 1, shown: str = "", layer: str = "") -> Net:
    shapes = ((images, priors * sets * 4), (images, priors * CLASSES), (1, 2, priors * 4), (images, 3, 20, 30))
    dims = "".join(f"shape {{ {' '.join(f'dim: {length}' for length in shape)} }}" for shape in shapes)
    text = f"""
        layer {{ name: "i" type: "Input" top: "loc" top: "conf" top: "pri" top: "img" input_param {{ {dims} }} }}
        layer {{ name: "d" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "pri" {shown} top: "y" {layer}
          detection_output_param {{ num_classes: {CLASSES} {options} }} }}"""
    return Net(schema().parse_text(text, "NetParameter"), TEST, engine="numpy")


def inputs(seed: int, images: int = 2, priors: int = 6, sets: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 0.6, (priors, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.1, 0.4, (priors, 2))], axis=1)
    return {
        "loc": rng.normal(0, 1, (images, priors * sets * 4)),
        "conf": rng.integers(0, 20, (images, priors * CLASSES)) / 20,
        "pri": np.stack([boxes.ravel(), np.tile([0.1, 0.1, 0.2, 0.2], priors)])[None],
        "img": rng.uniform(0, 255, (images, 3, 20, 30)),
    }


def decoded(t: Any, prior: Any) -> list[float]:
    width, height = prior[2] - prior[0], prior[3] - prior[1]
    x, y = (prior[0] + prior[2]) / 2 + 0.1 * t[0] * width, (prior[1] + prior[3]) / 2 + 0.1 * t[1] * height
    width, height = width * math.exp(0.2 * t[2]), height * math.exp(0.2 * t[3])
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def overlap(one: Any, two: Any) -> float:
    width, height = min(one[2], two[2]) - max(one[0], two[0]), min(one[3], two[3]) - max(one[1], two[1])
    sizes = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, two)]
    return width * height / (sum(sizes) - width * height) if min(width, height) > 0 else 0.0


def rows(values: dict[str, Any], sets: int, threshold: float, top_k: int, keep: int) -> list[list[float]]:
    """The rule, image by image and box by box."""
    images, priors = values["loc"].shape[0], values["pri"].shape[2] // 4
    loc = values["loc"].reshape(images, priors, sets, 4)
    conf, prior = values["conf"].reshape(images, priors, CLASSES), values["pri"][0, 0].reshape(priors, 4)
    found = []
    for image in range(images):
        kept = []
        for label in range(1, CLASSES):
            order = sorted(range(priors), key=lambda p: -conf[image, p, label])
            chosen: list[tuple[float, int, list[float]]] = []
            for p in [p for p in order if conf[image, p, label] > threshold][:top_k]:
                box = decoded(loc[image, p, label if sets > 1 else 0], prior[p])
                if all(overlap(box, other) <= 0.4 for _, _, other in chosen):
                    chosen.append((conf[image, p, label], label, box))
            kept += chosen
        best = sorted(range(len(kept)), key=lambda k: -kept[k][0])[:keep]
        found += [[image, kept[k][1], kept[k][0], *kept[k][2]] for k in sorted(best)]
    return found


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, CLASSES]), st.integers(1, 6), st.integers(1, 9))
def test_detections_equal_a_loop_over_boxes(seed: int, sets: int, top_k: int, keep: int) -> None:
    options = f"""code_type: CENTER_SIZE share_location: {str(sets == 1).lower()} confidence_threshold: 0.3
        keep_top_k: {keep} nms_param {{ nms_threshold: 0.4 top_k: {top_k} }}"""
    values = inputs(seed, sets=sets)
    expected = rows(values, sets, 0.3, top_k, keep) or [[0, *[-1] * 6], [1, *[-1] * 6]]
    np.testing.assert_allclose(build(options, sets=sets).forward(**values)["y"][0, 0], expected, rtol=1e-4, atol=1e-5)


def test_without_a_background_class_every_class_counts() -> None:
    labels = build("background_label_id: -1 nms_param { nms_threshold: 1 }").forward(**inputs(0))["y"][0, 0, :, 1]
    assert set(labels) == {0, 1, 2}


def saving(folder: Path, form: str = "VOC", images: int = 2, names: tuple[str, ...] = ("none", "cat", "7")) -> str:
    items = "".join(f'item {{ name: "{name}" label: {label} }}' for label, name in enumerate(names))
    (folder / "labels.prototxt").write_text(items)
    (folder / "sizes.txt").write_text("000012 100 200\nb 50 40\n")
    return f"""code_type: CENTER_SIZE save_output_param {{ output_directory: "{folder}/results" output_format: "{form}"
        output_name_prefix: "r" label_map_file: "{folder}/labels.prototxt" name_size_file: "{folder}/sizes.txt"
        num_test_image: {images} }}"""


def test_no_file_is_touched_before_the_last_image_is_through(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "rcat.txt").write_text("older results")
    net = build(saving(tmp_path), images=1)
    net.forward(**inputs(0, images=1))
    assert (results / "rcat.txt").read_text() == "older results"
    net.forward(**inputs(1, images=1))
    assert {line.split()[0] for line in (results / "rcat.txt").read_text().splitlines()} == {"000012", "b"}
    assert sorted(path.name for path in results.iterdir()) == ["r7.txt", "rcat.txt"]


def test_a_test_that_is_resumed_writes_the_same_files(tmp_path: Path) -> None:
    options = saving(tmp_path)
    first = build(options, images=1)
    first.forward(**inputs(0, images=1))
    state = json.loads(json.dumps(first.layers[-1].state()))
    first.forward(**inputs(1, images=1))
    expected = (tmp_path / "results/rcat.txt").read_text()
    (tmp_path / "results/rcat.txt").unlink()
    second = build(options, images=1)
    second.layers[-1].restore(state)
    second.forward(**inputs(1, images=1))
    assert (tmp_path / "results/rcat.txt").read_text() == expected


def test_coco_files_are_json_with_numbers_where_names_are_numbers(tmp_path: Path) -> None:
    y = build(saving(tmp_path, "COCO")).forward(**inputs(2))["y"][0, 0]
    found = json.loads((tmp_path / "results/r.json").read_text())
    assert [(each["image_id"], each["category_id"]) for each in found] == [
        ((12, "b")[int(image)], ("none", "cat", 7)[int(label)]) for image, label in y[:, :2]
    ]
    np.testing.assert_allclose([each["score"] for each in found], y[:, 2])


def test_coco_files_without_detections_are_empty_lists(tmp_path: Path) -> None:
    build(saving(tmp_path, "COCO") + " confidence_threshold: 2").forward(**inputs(2))
    assert json.loads((tmp_path / "results/r.json").read_text()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"form": "XML"}, "expected one of VOC, COCO, ILSVRC"),
        ({"images": 3}, "num_test_image is not valid"),
        ({"names": ("none", "cat")}, "no item with label 2"),
        ({"names": ("none", "cat", "../x")}, "contains a folder"),
    ],
)
def test_options_of_files_are_checked_at_the_first_pass(tmp_path: Path, changes: Any, message: str) -> None:
    net = build(saving(tmp_path, **changes))
    with pytest.raises(CafxError, match=rf"layer 'd' \(DetectionOutput\).*{message}"):
        net.forward(**inputs(0))
    assert not (tmp_path / "results").exists()


def test_files_are_saved_only_if_label_map_and_sizes_are_named(tmp_path: Path) -> None:
    build(f'save_output_param {{ output_directory: "{tmp_path}/results" output_format: "VOC" }}').forward(**inputs(0))
    assert not (tmp_path / "results").exists()


def test_pictures_show_boxes_above_the_threshold(tmp_path: Path) -> None:
    from cafx_lib_feed.images import read_image

    options = 'visualize: true visualize_threshold: {} save_file: "{}"'
    layer = "transform_param { scale: 0.5 mean_value: 10 }"
    values = inputs(3)
    values["img"] = np.full((2, 3, 20, 30), 20.0)
    for threshold, path in ((0.2, tmp_path / "a.png"), (2, tmp_path / "b.mp4")):
        net = build(options.format(threshold, path), shown='bottom: "img"', layer=layer)
        net.forward(**values)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        f"{name}_00000{number}.png" for name in "ab" for number in (1, 2)
    ]
    plain = read_image(tmp_path / "b_000001.png")
    assert plain.shape == (20, 30, 3)
    assert (plain == 20 / 0.5 + 10).all()
    assert (read_image(tmp_path / "a_000001.png") != plain).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("nms_param { eta: 0 }", "eta is not valid"),
        ("nms_param { nms_threshold: -0.1 }", "nms_threshold=-0.1 is not valid"),
        ("share_location: false", "bottom 'loc' does not fit"),
        ("visualize: true", "needs the images as fourth bottom"),
    ],
)
def test_invalid_options_are_errors(options: str, message: str) -> None:
    with pytest.raises(CafxError, match=message):
        build(options)
