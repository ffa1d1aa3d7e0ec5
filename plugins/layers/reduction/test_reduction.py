"""Reduction under the shared suite."""

from cafx.conformance import layer_suite

TestReduction = layer_suite("Reduction")
