"""step: the checklist of policies."""

from cafx.conformance import plugin_suite

TestStep = plugin_suite("policy", "step")
