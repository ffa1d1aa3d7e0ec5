"""SSD's fields have the numbers, types and defaults of the fork, and are read from real files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, TransformationParameter, schema
from cafx.kernel.schema import SolverParameter, complete, messages_of
from cafx_dialect_ssd import SSDSolver, SSDTransformation

TestDialectSsd = plugin_suite("dialect", "ssd")

SHARED = Path(os.environ.get("CAFX_SHARED", Path(__file__).parents[4] / "shared"))
FACTS = SHARED / "golden_forks" / "forks_schema.json"
FORK = "weiliu89/caffe (branch ssd)"
RECIPE = """
mirror: true mean_value: 104 mean_value: 117 mean_value: 123
resize_param { prob: 1 resize_mode: WARP height: 300 width: 300 interp_mode: LINEAR interp_mode: AREA }
emit_constraint { emit_type: CENTER }
distort_param { brightness_prob: 0.5 brightness_delta: 32 random_order_prob: 0 }
expand_param { prob: 0.5 max_expand_ratio: 4 }
noise_param { saltpepper_param { value: 3 } }
"""


@pytest.fixture(scope="module")
def facts() -> Any:
    if not FACTS.is_file():
        pytest.skip(f"no {FACTS}")
    return json.loads(FACTS.read_text())["forks"][FORK]


def described(option: Any) -> dict[str, Any]:
    """An option as the facts describe it."""
    found = {"number": option.number, "label": option.label, "type": option.kind_name}
    default = getattr(option.default, "name", option.default)
    if not option.repeated and default is not None and not option.is_message:
        found["default"] = str(default).lower() if isinstance(default, bool) else default
    return found


def same(found: dict[str, Any], stated: dict[str, Any]) -> bool:
    """Whether two descriptions agree; a fact without default means zero or the first value."""
    if "default" not in stated:
        return {**found, "default": 0} == {**stated, "default": 0}
    if isinstance(found.get("default"), float | int):
        return float(found["default"]) == float(stated["default"]) and found["number"] == stated["number"]
    return found == stated


def test_fields_are_those_of_the_fork(facts: Any) -> None:
    stated = {
        "SSDSolver": facts["fields_not_in_bvlc"]["SolverParameter"],
        "SSDTransformation": facts["messages"]["TransformationParameter"]["fields"],
    }
    for declared in messages_of([SSDTransformation, SSDSolver]):
        fields = stated.get(declared.__name__) or facts["messages"][declared.__name__]["fields"]
        for name, option in declared.__options__.items():
            assert same(described(option), fields[name]), f"{declared.__name__}.{name}"
        if declared.__name__ != "SSDTransformation":
            assert set(declared.__options__) == set(fields), declared.__name__
    own = set(TransformationParameter.__options__)
    assert set(SSDTransformation.__options__) == set(stated["SSDTransformation"]) - own


def test_a_recipe_of_ssd_is_read() -> None:
    options: Any = complete(TransformationParameter).from_proto(schema().parse_text(RECIPE, "TransformationParameter"))
    assert [each.name for each in options.resize_param.interp_mode] == ["LINEAR", "AREA"]
    assert options.emit_constraint.emit_type.name == "CENTER"
    assert options.distort_param.brightness_delta == 32
    assert options.expand_param.max_expand_ratio == 4
    assert options.noise_param.saltpepper_param.value == (3,)
    assert (options.crop_h, options.crop_w) == (0, 0)


def test_a_solver_of_ssd_is_read_without_notice(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    text = 'eval_type: "detection" ap_version: "11point" plateau_winsize: 3 show_per_class_result: true'
    options: Any = complete(SolverParameter).from_proto(schema().parse_text(text, "SolverParameter"))
    assert (options.ap_version, options.plateau_winsize, options.show_per_class_result) == ("11point", (3,), True)
    assert not caplog.records


@pytest.mark.parametrize(
    "text", ["expand_param { max_expand_ratio: 0.5 }", "distort_param { hue_prob: 2 }", "noise_param { prob: -1 }"]
)
def test_values_out_of_range_are_an_error(text: str) -> None:
    with pytest.raises(CafxError, match="is not valid"):
        complete(TransformationParameter).from_proto(schema().parse_text(text, "TransformationParameter"))
