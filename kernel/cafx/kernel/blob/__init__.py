"""Blobs and the places their arrays live in."""

from cafx.kernel.blob.blob import Blob, Shape, proto_shape, same_shape, shape_mismatch, shape_text
from cafx.kernel.blob.place import HOST, HostPlace, Place
from cafx.kernel.blob.synced import SyncedArray, host_copy

__all__ = [
    "HOST",
    "Blob",
    "HostPlace",
    "Place",
    "Shape",
    "SyncedArray",
    "host_copy",
    "proto_shape",
    "same_shape",
    "shape_mismatch",
    "shape_text",
]
