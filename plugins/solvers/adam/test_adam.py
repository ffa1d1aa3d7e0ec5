"""Adam: the checklist of solvers."""

from cafx.conformance import plugin_suite

TestAdam = plugin_suite("solver", "Adam")
