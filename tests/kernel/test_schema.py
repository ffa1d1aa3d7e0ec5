"""Declarations of messages and the schema composed of them."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import pytest

from cafx.kernel import CafxError, Message, Schema, above, message, option, within
from cafx.kernel.schema import FIRST_FREE_NUMBER, derived_number


@message("tilt_param", 123456)
class TiltParameter(Message):
    """Options of a test."""

    class Side(IntEnum):
        """The direction."""

        LEFT = 0
        RIGHT = 1

    angle: float = option(1, "float", 45.0, doc="degrees", check=within(0, 90))
    side: Side = option(2, Side, Side.RIGHT, doc="direction")
    steps: tuple[int, ...] = option(3, "uint32", repeated=True, doc="steps", check=above(0))
    name: str = option(4, "string", doc="name")


@message("tilt_param")
class Rival(Message):
    """Declares the same field."""

    angle: float = option(1, "float", 0.0, doc="degrees")


@message("lean_param", 123456)
class Neighbour(Message):
    """Declares the same number."""

    angle: float = option(1, "float", 0.0, doc="degrees")


@pytest.fixture(scope="module")
def tilted() -> Schema:
    return Schema([("cafx-layer-tilt", TiltParameter)])


def test_defaults_and_presence() -> None:
    options = TiltParameter(side="LEFT", steps=3)
    assert (options.angle, options.side, options.steps, options.name) == (45.0, TiltParameter.Side.LEFT, (3,), None)
    assert options.has("side")
    assert not options.has("angle")


@pytest.mark.parametrize(
    ("given", "message_pattern"),
    [
        ({"angel": 1}, r"unknown option 'angel'.*did you mean 'angle'"),
        ({"angle": "steep"}, r"angle='steep' is not valid: expected a number"),
        ({"angle": 91}, r"expected a value from 0 to 90"),
        ({"side": "UP"}, r"expected one of LEFT, RIGHT"),
        ({"side": 7}, r"expected one of LEFT, RIGHT"),
        ({"steps": [1, 0]}, r"expected more than 0"),
        ({"steps": [-1]}, r"expected a whole number ≥ 0, or a list of these"),
        ({"steps": [True]}, r"expected a whole number ≥ 0, or a list of these"),
        ({"name": 3}, r"expected a string"),
    ],
)
def test_an_invalid_option_is_refused(given: dict[str, Any], message_pattern: str) -> None:
    with pytest.raises(CafxError, match=message_pattern):
        TiltParameter(**given)


def test_options_survive_text(tilted: Schema) -> None:
    text = 'name: "t" tilt_param { angle: 30 side: LEFT steps: 1 steps: 2 }'
    proto = tilted.parse_text(text, "LayerParameter")
    options = TiltParameter.from_proto(proto.tilt_param)
    assert (options.angle, options.side.name, options.steps) == (30, "LEFT", (1, 2))
    again = tilted["LayerParameter"](name="t")
    options.fill(again.tilt_param)
    assert again == proto
    assert tilted.parse_text(tilted.to_text(proto), "LayerParameter") == proto


@pytest.mark.parametrize(
    ("text", "message_pattern"),
    [
        ("layer {\n  nme: 'a' }", r"f.prototxt:2: LayerParameter has no field 'nme'; did you mean 'name'"),
        ("\nlayer { sine_param { } }", r"f.prototxt:2: .*no field 'sine_param'.*would be called cafx-layer-sine"),
        ("layer {\n tilt_param {\n side: UP } }", r"f.prototxt:3: unknown value 'UP'.*one of LEFT, RIGHT"),
        ("layer { include { phase: TRIAN } }", r"f.prototxt:1: unknown value 'TRIAN' of Phase.*'TRAIN'"),
        ("layer { tilt_param { steps: -1 } }", r"f.prototxt:1: the value of 'steps' cannot be read.*-1"),
        ("layer {", r"f.prototxt:1: layer at line 1 seems not closed"),
        ("name: 3", r"f.prototxt:1: name is a text in quotes: got 3"),
        ("name: 'a' name: 'b'", r"f.prototxt:1: cannot be read as prototxt: .*multiple"),
    ],
)
def test_the_error_for_invalid_text_names_the_line(tilted: Schema, text: str, message_pattern: str) -> None:
    with pytest.raises(CafxError, match=message_pattern):
        tilted.parse_text(text, "NetParameter", "f.prototxt")


def test_unknown_fields_of_binary_messages_are_kept(tilted: Schema) -> None:
    proto = tilted.parse_text("layer { tilt_param { angle: 30 } }", "NetParameter")
    data = proto.SerializeToString()
    stranger = Schema().parse_bytes(data, "NetParameter")
    assert stranger.SerializeToString() == data


@pytest.mark.parametrize("rival", [Rival, Neighbour])
def test_a_conflict_names_both_plugins_and_affects_no_other_field(rival: type[Message]) -> None:
    clashing = Schema([("cafx-layer-tilt", TiltParameter), ("cafx-layer-rival", rival)])
    assert clashing.parse_text('layer { name: "a" }', "NetParameter").layer[0].name == "a"
    with pytest.raises(CafxError, match=r"cafx-layer-tilt and cafx-layer-rival both declare"):
        clashing.parse_text("layer { tilt_param { } }", "NetParameter")


def test_numbers_derived_from_names_are_stable_and_unreserved() -> None:
    assert derived_number("tilt_param") == derived_number("tilt_param") >= FIRST_FREE_NUMBER
    assert Rival.__extends__ is not None
    assert Rival.__extends__.number == derived_number("tilt_param")
