"""Parameter under the shared suite."""

from cafx.conformance import layer_suite

TestParameter = layer_suite("Parameter")
