"""DenseImageData passes the conformance suite."""

from cafx.conformance import layer_suite, plugin_suite

TestEpochsOfDenseImageData = plugin_suite("data", "DenseImageData")

TestDenseImageData = layer_suite("DenseImageData")
