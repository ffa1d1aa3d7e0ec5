"""RMSProp: the checklist of solvers."""

from cafx.conformance import plugin_suite

TestRMSProp = plugin_suite("solver", "RMSProp")
