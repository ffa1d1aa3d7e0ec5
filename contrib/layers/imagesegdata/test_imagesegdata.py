"""ImageSegData passes the conformance suite."""

from cafx.conformance import layer_suite

TestImageSegData = layer_suite("ImageSegData")
