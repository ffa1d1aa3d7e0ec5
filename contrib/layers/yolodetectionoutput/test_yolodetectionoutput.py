"""YoloDetectionOutput passes the conformance suite."""

from cafx.conformance import layer_suite

TestYoloDetectionOutput = layer_suite("YoloDetectionOutput")
