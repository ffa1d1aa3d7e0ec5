"""sigmoid: the checklist of policies."""

from cafx.conformance import plugin_suite

TestSigmoid = plugin_suite("policy", "sigmoid")
