"""Fields and values that dialects add: read, rewritten, ignored, contested; in text, binary and Python."""

from __future__ import annotations

import logging
from enum import IntEnum
from typing import Any

import pytest

from cafx.kernel import CafxError, Message, message, option
from cafx.kernel.schema import (
    Dialect,
    Schema,
    adds_values,
    becomes,
    extends,
    ignored,
    read_by,
    rewritten,
    using_dialect,
)
from cafx.kernel.schema.dialect import Additions


@message("tilt_param", 140_000)
class TiltParameter(Message):
    """Options of Tilt."""

    class Side(IntEnum):
        """The side."""

        LEFT = 0
        RIGHT = 1

    angle: float = option(1, "float", 0.0, doc="degrees")
    side: Side = option(2, Side, Side.RIGHT, doc="side")


def in_radians(tilt: Any) -> None:
    """The angle in degrees."""
    if tilt.HasField("angle"):
        raise CafxError("two angles")
    tilt.angle = 57.0 * tilt.radians


@message()
class Tripod(Message):
    """A message of a dialect's own."""

    legs = option(1, "int32", 3, doc="how many")


@extends("TiltParameter")
class FirstTilt(Message):
    """The first fork's fields."""

    radians = option(3, "float", doc="angle", effect=rewritten(in_radians, "angle"))
    tripod = option(4, Tripod, doc="what it stands on", effect=read_by("Tilt"))
    engine = option(5, "string", doc="implementation", effect=ignored("there is one implementation"))
    base = option(6, "float", doc="height", effect=read_by("Tilt"))


@adds_values(
    "TiltParameter.Side", {"TOP": read_by("Tilt"), "WEST": becomes("LEFT"), "ANY": ignored("the default is as good")}
)
class FirstSide(IntEnum):
    """The first fork's values."""

    TOP = 2
    WEST = 3
    ANY = 4


class First(Dialect):
    """The first fork."""

    fork = "first/caffe"
    declares = (FirstTilt, FirstSide)
    types = ("Lean",)


@extends("TiltParameter")
class SecondTilt(Message):
    """The second fork's fields: `base` is a list, `tripod`'s number is another field's."""

    base = option(6, "int32", repeated=True, doc="numbers of the base", effect=read_by("Tilt"))
    speed = option(4, "float", doc="speed", effect=read_by("Tilt"))
    engine = option(5, "string", doc="implementation", effect=ignored("there is one implementation"))


class Second(Dialect):
    """The second fork."""

    fork = "second/caffe"
    declares = (SecondTilt,)


def composed(*dialects: type[Dialect]) -> Schema:
    """A schema with Tilt and these dialects."""
    added = [each for dialect in dialects for each in dialect.additions(dialect.__name__.lower(), "cafx-dialect")]
    types = {name: dialect.__name__.lower() for dialect in dialects for name in dialect.types}
    return Schema([("cafx-layer-tilt", TiltParameter)], Additions(added, types))


def tilt(text: str, *dialects: type[Dialect], before: str = "") -> Any:
    """The options of Tilt in a net."""
    text = f"{before}layer {{ tilt_param {{ {text} }} }}"
    parsed = composed(*dialects).parse_text(text, "NetParameter", "net.prototxt")
    return composed(*dialects).declarations["TiltParameter"].from_proto(parsed.layer[-1].tilt_param)


def test_a_field_that_is_read_is_an_option_of_the_declaration() -> None:
    options = tilt("tripod { legs: 4 } side: TOP", First)
    assert isinstance(options, TiltParameter)
    assert options.tripod.legs == 4
    assert options.side is FirstSide.TOP
    assert options.has("tripod")
    assert tilt("", First).tripod.legs == 3


def test_a_field_is_rewritten_into_caffe_s_own() -> None:
    schema = composed(First)
    parsed = schema.parse_text("tilt_param { radians: 2 side: WEST }", "LayerParameter")
    assert schema.to_text(parsed) == "tilt_param {\n  angle: 114.0\n  side: LEFT\n}\n"
    again = schema.parse_bytes(
        schema["LayerParameter"](tilt_param={"radians": 1}).SerializeToString(), "LayerParameter"
    )
    assert again.tilt_param.angle == 57


def test_an_error_while_rewriting_names_the_file() -> None:
    with pytest.raises(CafxError, match=r"net.prototxt: two angles"):
        tilt("radians: 2 angle: 1", First)


def test_an_ignored_field_is_dropped_with_one_notice_that_names_the_line(caplog: pytest.LogCaptureFixture) -> None:
    schema = composed(First)
    text = 'layer {\n tilt_param { engine: "A" }\n}\nlayer { tilt_param { engine: "B" side: ANY } }'
    with caplog.at_level(logging.WARNING):
        parsed = schema.parse_text(text, "NetParameter", "net.prototxt")
        schema.parse_text(text, "NetParameter", "net.prototxt")
    assert [record.getMessage() for record in caplog.records] == [
        "net.prototxt:2: TiltParameter.engine (2 times) is ignored: there is one implementation",
        "net.prototxt:4: TiltParameter.Side.ANY is ignored: the default is as good",
    ]
    assert "engine" not in schema.to_text(parsed)
    assert not parsed.layer[1].tilt_param.HasField("side")


def test_one_number_of_two_dialects_is_used_for_neither(caplog: pytest.LogCaptureFixture) -> None:
    schema = composed(First, Second)
    parsed = schema.parse_text("tilt_param { tripod { legs: 5 } speed: 2 }", "LayerParameter")
    assert (parsed.tilt_param.tripod.legs, parsed.tilt_param.speed) == (5, 2)
    numbers = {field.name: field.number for field in schema["TiltParameter"].DESCRIPTOR.fields}
    assert numbers["engine"] == 5, "both mean the same"
    assert min(numbers["tripod"], numbers["speed"]) >= 100_000
    foreign = bytes([4 << 3 | 5, 0, 0, 128, 63])  # the second fork's speed
    assert schema.parse_bytes(foreign, "TiltParameter").SerializeToString() == foreign


@pytest.mark.parametrize(
    ("text", "before", "expected"),
    [
        ("base: 1.5 tripod { }", "", 1.5),
        ("base: 2 base: 3 speed: 1", "", (2, 3)),
        ("base: 1.5 side: TOP", "", 1.5),
        ("base: 1.5", 'layer { type: "Lean" }', 1.5),
    ],
)
def test_a_contested_name_means_what_the_file_s_other_fields_prove(text: str, before: str, expected: Any) -> None:
    options = tilt(text, First, Second, before=before)
    assert options.base == expected
    assert options.has("base")


def test_a_contested_name_without_proof_is_refused_until_somebody_chooses() -> None:
    with pytest.raises(CafxError, match=r"net.prototxt:1: TiltParameter.base means .* first and second; .*--dialect"):
        tilt("base: 2", First, Second)
    with using_dialect("second"):
        assert tilt("base: 2", First, Second).base == (2,)
    assert tilt("base: 1.5", First).base == 1.5


def test_a_contested_name_is_written_as_the_fork_writes_it() -> None:
    schema = composed(First, Second)
    options = schema.declarations["TiltParameter"](second__base=[1, 2])
    text = schema.to_text(options.fill(schema["TiltParameter"]()))
    assert text == "base: 1\nbase: 2\n"
    assert options.base == (1, 2)


@extends("TiltParameter")
class ThirdTilt(Message):
    """The third fork's fields: the first one's tripod, as often as one likes, and twice the same number in a list."""

    tripod = option(None, Tripod, repeated=True, doc="what it stands on", effect=read_by("Tilt"))
    speed = option(None, "float", repeated=True, doc="speeds", effect=read_by("Tilt"))


class Third(Dialect):
    """The third fork."""

    fork = "third/caffe"
    declares = (ThirdTilt,)


@pytest.mark.parametrize(
    ("text", "legs"),
    [
        ("tripod { legs: 4 }", 4),
        ("tripod { legs: 4 } tripod { }", (4, 3)),
        ("tripod [{ legs: 4 }, { legs: 5 }]", (4, 5)),
        ("tripod < legs: 4 > # tripod\n tripod { legs: 5 } base: 1.5 tripod { legs: 6 }", (4, 5, 6)),
    ],
)
@pytest.mark.parametrize("order", [(First, Third), (Third, First), (First, Second, Third)])
def test_a_field_that_one_fork_repeats_is_a_list_where_it_occurs_twice(
    text: str, legs: Any, order: tuple[type[Dialect], ...]
) -> None:
    before = "layer { tilt_param { tripod { legs: 9 } } } layer { tilt_param { tripod { legs: 8 } } }"
    found = tilt(text, *order, before=before).tripod
    assert (tuple(each.legs for each in found) if isinstance(legs, tuple) else found.legs) == legs


def test_such_a_field_is_written_as_the_fork_writes_it_and_keeps_its_number() -> None:
    schema = composed(First, Third)
    text = "tripod {\n  legs: 4\n}\ntripod {\n  legs: 5\n}\nangle: 2.0\n"
    parsed = schema.parse_text(text, "TiltParameter")
    assert sorted(schema.to_text(parsed).split("\n")) == sorted(text.split("\n"))
    assert len(parsed.third__tripod) == 2
    numbers = {field.name: field.number for field in schema["TiltParameter"].DESCRIPTOR.fields}
    assert numbers["tripod"] == 4
    options = schema.declarations["TiltParameter"].from_proto(parsed)
    assert options.has("tripod")
    assert [each.legs for each in options.tripod] == [4, 5]


def test_such_a_field_is_given_in_one_of_two_ways() -> None:
    schema = composed(First, Third)
    declared = schema.declarations["TiltParameter"]
    with pytest.raises(CafxError, match="tripod is given in two ways: got tripod and third__tripod"):
        declared(tripod={"legs": 4}, third__tripod=[{"legs": 5}])
    options = declared(tripod={"legs": 4}, third__tripod=[])
    assert schema.to_text(options.fill(schema["TiltParameter"]())) == "tripod {\n  legs: 4\n}\n"


def test_caffe_s_own_fields_are_as_without_dialects() -> None:
    plain, more = composed(), composed(First, Second)
    assert plain.declarations["TiltParameter"] is TiltParameter
    for name in plain.names():
        own = {field.name: field.number for field in plain[name].DESCRIPTOR.fields}
        assert own.items() <= {field.name: field.number for field in more[name].DESCRIPTOR.fields}.items()


def test_a_field_without_effect_is_refused() -> None:
    @extends("TiltParameter")
    class Silent(Message):
        """No effect."""

        weight = option(9, "float", doc="weight")

    class Third(Dialect):
        """Third."""

        declares = (Silent,)

    with pytest.raises(CafxError, match=r"TiltParameter.weight of cafx-dialect has no effect"):
        composed(Third)


def test_a_message_s_own_field_wins_over_a_dialect_s() -> None:
    @extends("TiltParameter")
    class Angles(Message):
        """Another meaning of a field that there is."""

        angle = option(7, "string", doc="angle in words", effect=ignored("it is a number"))

    class Fourth(Dialect):
        """Fourth."""

        declares = (Angles,)

    assert tilt("angle: 30", Fourth).angle == 30
