"""Crop under the shared suite."""

from cafx.conformance import layer_suite

TestCrop = layer_suite("Crop")
