"""Parameter passes the conformance suite."""

from cafx.conformance import layer_suite

TestParameter = layer_suite("Parameter")
