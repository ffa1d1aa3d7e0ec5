"""multistep: the checklist of policies."""

from cafx.conformance import plugin_suite

TestMultiStep = plugin_suite("policy", "multistep")
