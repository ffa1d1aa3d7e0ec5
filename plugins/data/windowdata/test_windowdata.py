"""WindowData under the shared suite."""

from cafx.conformance import layer_suite

TestWindowData = layer_suite("WindowData")
