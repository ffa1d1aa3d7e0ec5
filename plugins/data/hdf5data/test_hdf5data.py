"""HDF5Data passes the conformance suite."""

from cafx.conformance import layer_suite, plugin_suite

TestEpochsOfHDF5Data = plugin_suite("data", "HDF5Data")

TestHDF5Data = layer_suite("HDF5Data")
