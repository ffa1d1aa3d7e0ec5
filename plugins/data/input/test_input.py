"""Input under the shared suite."""

from cafx.conformance import layer_suite

TestInput = layer_suite("Input")
