"""WindowData passes the conformance suite."""

from cafx.conformance import layer_suite

TestWindowData = layer_suite("WindowData")
