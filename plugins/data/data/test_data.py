"""Data passes the conformance suite."""

from cafx.conformance import layer_suite

TestData = layer_suite("Data")
