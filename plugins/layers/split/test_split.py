"""Split passes the conformance suite."""

from cafx.conformance import layer_suite

TestSplit = layer_suite("Split")
