"""WindowData passes the conformance suite."""

from cafx.conformance import layer_suite, plugin_suite

TestEpochsOfWindowData = plugin_suite("data", "WindowData")

TestWindowData = layer_suite("WindowData")
