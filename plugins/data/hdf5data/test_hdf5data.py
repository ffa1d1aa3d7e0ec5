"""HDF5Data passes the conformance suite."""

from cafx.conformance import layer_suite

TestHDF5Data = layer_suite("HDF5Data")
