"""ImageData passes the conformance suite."""

from cafx.conformance import layer_suite, plugin_suite

TestEpochsOfImageData = plugin_suite("data", "ImageData")

TestImageData = layer_suite("ImageData")
