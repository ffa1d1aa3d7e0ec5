"""What the shared suite knows of LSTM; what RNN and LSTM share is tried in tests/integration."""

from cafx.conformance import layer_suite

TestLSTM = layer_suite("LSTM")
