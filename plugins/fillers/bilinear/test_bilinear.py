"""bilinear: the checklist of fillers."""

from cafx.conformance import plugin_suite

TestBilinear = plugin_suite("filler", "bilinear")
