"""constant: the checklist of fillers."""

from cafx.conformance import plugin_suite

TestConstant = plugin_suite("filler", "constant")
