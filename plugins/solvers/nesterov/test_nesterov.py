"""Nesterov: the checklist of solvers."""

from cafx.conformance import plugin_suite

TestNesterov = plugin_suite("solver", "Nesterov")
