"""ImageData passes the conformance suite."""

from cafx.conformance import layer_suite

TestImageData = layer_suite("ImageData")
