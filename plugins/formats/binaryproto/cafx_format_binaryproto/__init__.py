"""Caffe's binary protobuf files: caffemodel, solverstate and binaryproto."""

from cafx_format_binaryproto.files import BinaryProto, read_binaryproto, write_binaryproto
from cafx_format_binaryproto.wire import LayerFields

__version__ = "0.1.0"
__all__ = ["BinaryProto", "LayerFields", "read_binaryproto", "write_binaryproto"]
