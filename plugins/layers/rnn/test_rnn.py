"""RNN passes the conformance suite; tests/integration covers what RNN and LSTM share."""

from cafx.conformance import layer_suite

TestRNN = layer_suite("RNN")
