"""AdaGrad: the checklist of solvers."""

from cafx.conformance import plugin_suite

TestAdaGrad = plugin_suite("solver", "AdaGrad")
