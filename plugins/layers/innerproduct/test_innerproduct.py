"""InnerProduct under the shared suite."""

from cafx.conformance import layer_suite

TestInnerProduct = layer_suite("InnerProduct")
