"""What the shared suite knows of RNN; what RNN and LSTM share is tried in tests/integration."""

from cafx.conformance import layer_suite

TestRNN = layer_suite("RNN")
