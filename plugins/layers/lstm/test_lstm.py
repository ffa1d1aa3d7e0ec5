"""LSTM passes the conformance suite; tests/integration covers what RNN and LSTM share."""

from cafx.conformance import layer_suite

TestLSTM = layer_suite("LSTM")
