"""inv: the checklist of policies."""

from cafx.conformance import plugin_suite

TestInv = plugin_suite("policy", "inv")
