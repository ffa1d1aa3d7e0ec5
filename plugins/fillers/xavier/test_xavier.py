"""xavier: the checklist of fillers."""

from cafx.conformance import plugin_suite

TestXavier = plugin_suite("filler", "xavier")
