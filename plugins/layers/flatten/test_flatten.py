"""Flatten passes the conformance suite."""

from cafx.conformance import layer_suite

TestFlatten = layer_suite("Flatten")
