"""InfogainLoss under the shared suite."""

from cafx.conformance import layer_suite

TestInfogainLoss = layer_suite("InfogainLoss")
