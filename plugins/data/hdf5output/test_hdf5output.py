"""HDF5Output under the shared suite."""

from cafx.conformance import layer_suite

TestHDF5Output = layer_suite("HDF5Output")
