"""AdaDelta: the checklist of solvers."""

from cafx.conformance import plugin_suite

TestAdaDelta = plugin_suite("solver", "AdaDelta")
