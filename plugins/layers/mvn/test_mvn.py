"""MVN passes the conformance suite."""

from cafx.conformance import layer_suite

TestMVN = layer_suite("MVN")
