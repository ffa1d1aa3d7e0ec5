"""LSTMUnit passes the conformance suite."""

from cafx.conformance import layer_suite

TestLSTMUnit = layer_suite("LSTMUnit")
