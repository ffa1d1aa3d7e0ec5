"""SGD: the checklist of solvers."""

from cafx.conformance import plugin_suite

TestSGD = plugin_suite("solver", "SGD")
