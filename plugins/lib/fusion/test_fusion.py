"""Fusions are found from the first step on; what follows in place is recognised."""

import attrs
import pytest

from cafx.kernel import Net, Unsupported, schema
from cafx_lib_fusion import follows_in_place, fuse, joined, relu_slope

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "AbsVal" bottom: "x" top: "a" }
layer { name: "r" type: "ReLU" bottom: "a" top: "a" relu_param { negative_slope: SLOPE } }
layer { name: "b" type: "AbsVal" bottom: "a" top: "b" }
layer { name: "s" type: "ReLU" bottom: "b" top: "c" }
"""


def steps(slope=0.5):
    return Net(schema().parse_text(NET.replace("SLOPE", str(slope)), "NetParameter"), engine="numpy").program.parts


def pair(found):
    """Joins a step with a ReLU in place behind it."""
    return joined(found[:2], found[0].routines, "joined") if relu_slope(found, 1) is not None else None


def refused(found):
    raise Unsupported("never")


@pytest.mark.parametrize("patterns", [[pair], [refused, pair]])
def test_steps_are_joined_where_a_pattern_applies(patterns):
    fused = fuse(steps(), lambda routine: patterns)
    assert [step.name for step in fused] == ["x", "a+r", "b", "s"]
    assert [step.note for step in fused] == ["", "joined", "", ""]


def test_patterns_depend_on_the_first_routine():
    assert len(fuse(steps(), lambda routine: [pair] if routine.layer.name == "b" else [])) == 5


def test_what_follows_in_place():
    found = steps()[1:]
    assert [follows_in_place(found, position) for position in range(5)] == [False, True, False, False, False]


@pytest.mark.parametrize(("slope", "expected"), [(0.5, 0.5), (0, 0.0), (-0.5, None)])
def test_the_slope_of_a_relu_that_can_be_fused(slope, expected):
    assert relu_slope(steps(slope)[1:], 1) == expected


def test_notes_of_routines_follow():
    first = steps()[1]
    noted = attrs.evolve(first)
    noted.routines[0].note = "algorithm"
    assert joined([noted], noted.routines, "fused").note == "fused; algorithm"
