"""ImageSegData passes the conformance suite."""

from cafx.conformance import layer_suite, plugin_suite

TestEpochsOfImageSegData = plugin_suite("data", "ImageSegData")

TestImageSegData = layer_suite("ImageSegData")
