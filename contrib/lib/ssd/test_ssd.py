"""SSD's messages are the fork's, and its files and boxes in images follow their rules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cafx.kernel import CafxError
from cafx.kernel.schema import Schema
from cafx_lib_ssd import (
    AnnotatedDatum,
    GroundTruth,
    ImageSize,
    LabelMap,
    NonMaximumSuppressionParameter,
    PriorBoxParameter,
    ResizeParameter,
    in_image,
    read_label_map,
    read_sizes,
)

FORK = "weiliu89/caffe (branch ssd)"
ROOTS = (AnnotatedDatum, LabelMap, PriorBoxParameter, NonMaximumSuppressionParameter, ResizeParameter)


def test_messages_have_the_fork_s_fields(shared: Path) -> None:
    facts = json.loads((shared / "golden_forks/forks_schema.json").read_text())["forks"][FORK]["messages"]
    schema = Schema([("ssd", root) for root in ROOTS])
    for name in {each.__name__ for each in schema.owners if schema.owners[each] == "ssd"}:
        fields = schema[name].DESCRIPTOR.fields_by_name
        assert {field: each.number for field, each in fields.items()} == {
            field: fact["number"] for field, fact in facts[name]["fields"].items()
        }
        for field, fact in facts[name]["fields"].items():
            assert fields[field].has_default_value == ("default" in fact and fact["default"] is not None)
            assert fields[field].is_repeated == (fact["label"] == "repeated")


def test_a_label_map_is_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "labels.prototxt"
    path.write_text('item { name: "none" label: 0 display_name: "background" } item { name: "cat" label: 1 }')
    assert [(item.name, item.label) for item in read_label_map(path).item] == [("none", 0), ("cat", 1)]
    path.write_text('item { name: "cat" label: 1 } item { name: "dog" label: 1 }')
    with pytest.raises(CafxError, match="two items have the same label"):
        read_label_map(path)


def test_image_sizes_are_read_with_the_line_of_an_error(tmp_path: Path) -> None:
    path = tmp_path / "sizes.txt"
    path.write_text("a b 30 40\n\nc 5 6\n")
    assert read_sizes(path) == [("a b", 30, 40), ("c", 5, 6)]
    path.write_text("a 30 40\nb 30\n")
    with pytest.raises(CafxError, match=r"sizes\.txt:2"):
        read_sizes(path)
    path.write_text("\n")
    with pytest.raises(CafxError, match="the list is empty"):
        read_sizes(path)


def test_rows_without_an_object_are_skipped_or_end_the_list() -> None:
    rows = np.array([[[[0, 2, 0, 0, 0, 1, 1, 1], [-1] * 8, [1, 3, 0, 0, 0, 1, 1, 0]]]])
    assert GroundTruth.of(rows).labels.tolist() == [2, 3]
    assert GroundTruth.of(rows, stop=True).labels.tolist() == [2]
    assert GroundTruth.of(rows).difficult.tolist() == [True, False]


SIZE = ImageSize("a", height=100, width=200)
BOX = np.array([[0.1, 0.25, 0.5, 1.25]])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, [20, 25, 100, 100]),
        ({"resize_mode": "WARP", "height": 30, "width": 30}, [20, 25, 100, 100]),
        ({"resize_mode": "FIT_SMALL_SIZE", "height": 30, "width": 30}, [20, 25, 100, 100]),
        ({"resize_mode": "FIT_SMALL_SIZE", "height_scale": 40, "width_scale": 400}, [40, 10, 200, 50]),
        # 200×100 in 60×60 leaves borders of 15 above and below: y goes from 0.25 to 0.75
        ({"resize_mode": "FIT_LARGE_SIZE_AND_PAD", "height": 60, "width": 60}, [20, 0, 100, 100]),
        # in 60×15, it is 30 wide with borders of 15 on both sides
        ({"resize_mode": "FIT_LARGE_SIZE_AND_PAD", "height": 15, "width": 60}, [0, 25, 100, 100]),
    ],
)
def test_boxes_return_to_the_original_image(options: dict[str, object] | None, expected: list[float]) -> None:
    resize = None if options is None else ResizeParameter(**options)
    np.testing.assert_allclose(in_image(BOX, SIZE, resize), [expected])
