"""poly: the checklist of policies."""

from cafx.conformance import plugin_suite

TestPoly = plugin_suite("policy", "poly")
