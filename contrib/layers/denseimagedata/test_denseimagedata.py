"""DenseImageData passes the conformance suite."""

from cafx.conformance import layer_suite

TestDenseImageData = layer_suite("DenseImageData")
