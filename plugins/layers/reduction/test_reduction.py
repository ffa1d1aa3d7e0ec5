"""Reduction passes the conformance suite."""

from cafx.conformance import layer_suite

TestReduction = layer_suite("Reduction")
