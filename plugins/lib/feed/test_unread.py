"""A data layer says which options of a dialect it does not read, and which layer does."""

from __future__ import annotations

from typing import Any

import pytest

from cafx.kernel import Message, TransformationParameter, option
from cafx.kernel.schema import Dialect, Schema, extends, ignored, read_by
from cafx.kernel.schema.dialect import Additions
from cafx_lib_feed import unread


@extends("TransformationParameter")
class Turning(Message):
    """Options of a fork's data layers."""

    angle = option(8, "float", 0.0, doc="degrees", effect=read_by("TurnedData"))
    speed = option(9, "float", 0.0, doc="degrees per batch", effect=read_by("TurnedData"))
    tilt = option(10, "float", 0.0, doc="degrees", effect=read_by("Data and TiltedData"))
    axis = option(11, "int32", 0, doc="axis", effect=ignored("there is one"))


class Turns(Dialect):
    """A fork."""

    fork = "turned/caffe"
    declares = (Turning,)


class Layer:
    """As much of a layer as matters."""

    def __init__(self, kind: str, spec: Any) -> None:
        self.type, self.where, self.spec, self.context = kind, f"layer 'd' ({kind})", spec, self
        self.plugins = None


@pytest.mark.parametrize(
    ("kind", "transform", "expected"),
    [
        ("Data", "mirror: true crop_size: 3 mean_value: 1", []),
        ("Data", "tilt: 1", []),
        ("TurnedData", "angle: 1 speed: 2", []),
        (
            "Data",
            "scale: 2 speed: 1 angle: 2 tilt: 3",
            [
                "layer 'd' (Data) ignores transform_param.angle, transform_param.speed (only read by TurnedData); "
                "use that layer, or remove what is ignored"
            ],
        ),
        (
            "ImageData",
            "angle: 1 tilt: 0",
            [
                "layer 'd' (ImageData) ignores transform_param.angle (only read by TurnedData); "
                "use that layer, or remove what is ignored",
                "layer 'd' (ImageData) ignores transform_param.tilt (only read by Data and TiltedData); "
                "use that layer, or remove what is ignored",
            ],
        ),
        ("TiltedData", "tilt: 1", []),
    ],
)
def test_options_that_only_another_layer_reads_are_named_in_a_warning(
    kind: str, transform: str, expected: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    schema = Schema([], Additions(Turns.additions("turns", "cafx-dialect-turns")))
    declared = schema.declarations["TransformationParameter"]
    monkeypatch.setattr(unread, "complete", lambda declaration, _: {TransformationParameter: declared}[declaration])
    spec = schema.parse_text(f"transform_param {{ {transform} }}", "LayerParameter")
    layer: Any = Layer(kind, spec)
    unread.warn_of_unread(layer)
    found = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert sorted(found) == sorted(expected)
