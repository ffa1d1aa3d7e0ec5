"""LSTMUnit under the shared suite."""

from cafx.conformance import layer_suite

TestLSTMUnit = layer_suite("LSTMUnit")
