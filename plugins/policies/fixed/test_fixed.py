"""fixed: the checklist of policies."""

from cafx.conformance import plugin_suite

TestFixed = plugin_suite("policy", "fixed")
