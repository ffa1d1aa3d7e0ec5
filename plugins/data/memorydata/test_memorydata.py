"""MemoryData under the shared suite."""

from cafx.conformance import layer_suite

TestMemoryData = layer_suite("MemoryData")
