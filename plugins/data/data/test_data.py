"""Data passes the conformance suite."""

from cafx.conformance import layer_suite, plugin_suite

TestEpochsOfData = plugin_suite("data", "Data")

TestData = layer_suite("Data")
