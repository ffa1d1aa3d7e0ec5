"""exp: the checklist of policies."""

from cafx.conformance import plugin_suite

TestExp = plugin_suite("policy", "exp")
