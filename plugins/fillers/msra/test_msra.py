"""msra: the checklist of fillers."""

from cafx.conformance import plugin_suite

TestMSRA = plugin_suite("filler", "msra")
