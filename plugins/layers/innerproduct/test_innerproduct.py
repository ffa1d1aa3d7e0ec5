"""InnerProduct passes the conformance suite."""

from cafx.conformance import layer_suite

TestInnerProduct = layer_suite("InnerProduct")
