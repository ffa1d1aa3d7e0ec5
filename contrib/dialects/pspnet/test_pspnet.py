"""PSPNet speaks DeepLab's dialect: its fields are the same, so that both may be installed."""

from __future__ import annotations

from cafx.conformance import plugin_suite
from cafx.kernel import schema

TestDialectPspnet = plugin_suite("dialect", "pspnet")


def test_the_fields_of_both_are_one() -> None:
    additions = schema().additions
    assert {"deeplab", "pspnet"} <= set(additions.to("TransformationParameter")["crop_height"].dialects)
    parsed = schema().parse_text("crop_height: 473 crop_width: 471 scale_factors: 0.5", "TransformationParameter")
    assert (parsed.crop_height, parsed.crop_width, list(parsed.scale_factors)) == (473, 471, [0.5])
