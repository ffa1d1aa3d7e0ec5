"""Silence passes the conformance suite."""

from cafx.conformance import layer_suite

TestSilence = layer_suite("Silence")
