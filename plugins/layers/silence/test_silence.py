"""Silence under the shared suite."""

from cafx.conformance import layer_suite

TestSilence = layer_suite("Silence")
