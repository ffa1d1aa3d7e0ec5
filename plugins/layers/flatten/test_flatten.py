"""Flatten under the shared suite."""

from cafx.conformance import layer_suite

TestFlatten = layer_suite("Flatten")
