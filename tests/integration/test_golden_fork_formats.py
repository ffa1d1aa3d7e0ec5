"""SSD's messages have the fork's fields; result files of DetectionOutput equal those of SSD."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.conformance.golden import inside
from cafx.kernel import TEST, Net, schema

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])")
SCORE_DIGITS = 2e-6
PIXEL = 1
SSD = "weiliu89/caffe (branch ssd)"
LAYERS = {
    "prior_box_param": 203,
    "detection_output_param": 204,
    "multibox_loss_param": 201,
    "detection_evaluate_param": 205,
}


@pytest.mark.parametrize("field", LAYERS)
def test_options_have_ssd_s_numbers_types_and_defaults(shared: Path, field: str) -> None:
    facts = json.loads((shared / "golden_forks/forks_schema.json").read_text())["forks"][SSD]["messages"]
    declared = schema()["LayerParameter"].DESCRIPTOR.fields_by_name[field]
    assert declared.number == LAYERS[field]
    waiting = [declared.message_type]
    while waiting:
        message = waiting.pop()
        expected = facts[message.name]["fields"]
        assert {each.name: each.number for each in message.fields} == {
            name: fact["number"] for name, fact in expected.items()
        }
        for each in message.fields:
            default = expected[each.name].get("default")
            assert each.has_default_value == (default is not None)
            if default is not None:
                assert default in (str(each.default_value).lower(), f"{each.default_value:g}", _name(each))
        waiting += [each.message_type for each in message.fields if each.message_type]


def _name(field: Any) -> str | None:
    """The name of the default value of an enum."""
    return field.enum_type.values_by_number[field.default_value].name if field.enum_type else None


def values_and_words(text: str) -> tuple[list[float], str]:
    return [float(each) for each in NUMBER.findall(text)], NUMBER.sub("#", text)


def assert_equal_files(found: Path, expected: Path) -> None:
    """Words and layout are equal; whole numbers differ by at most 1, fractions by their last digit."""
    assert found.name == expected.name
    (one, words), (two, expected_words) = values_and_words(found.read_text()), values_and_words(expected.read_text())
    assert words == expected_words
    for value, wanted in zip(one, two, strict=True):
        assert abs(value - wanted) <= (PIXEL if wanted == int(wanted) and wanted > 1 else SCORE_DIGITS * max(1, wanted))


@pytest.mark.shared_files("golden_forks/formats/detection_files/*.npz")
def test_result_files_equal_ssd_s(shared_file: Path, tmp_path: Path) -> None:
    name, folder = shared_file.stem, shared_file.parent
    for each in (f"{name}.prototxt", "labelmap.prototxt", "name_size.txt"):
        shutil.copy(folder / each, tmp_path)
    results = tmp_path / f"{name}_files"
    with inside(tmp_path), np.load(shared_file) as case:
        net = Net(f"{name}.prototxt", TEST, engine="numpy")
        for iteration in range(int(case["meta/iters"])):
            assert not results.exists()
            prefix = f"iter{iteration}/" if iteration else ""
            inputs = {blob: case[f"{prefix}in/{blob}"] for blob in ("loc", "conf", "pri")}
            np.testing.assert_allclose(net.forward(**inputs)["y"], case[f"{prefix}out/y"], rtol=1e-4, atol=1e-5)
    expected = sorted((folder / f"{name}_files").iterdir())
    for found, wanted in zip(sorted(results.iterdir()), expected, strict=True):
        assert_equal_files(found, wanted)
