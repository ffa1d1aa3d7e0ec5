"""Blobs and the places their arrays are kept in."""

from cafx.kernel.blob.blob import Blob, Shape, numbers, proto_shape, same_shape, shape_mismatch, shape_text
from cafx.kernel.blob.place import ALIGNMENT, HOST, HostPlace, Place
from cafx.kernel.blob.synced import SyncedArray, SyncedState, host_copy

__all__ = [
    "ALIGNMENT",
    "HOST",
    "Blob",
    "HostPlace",
    "Place",
    "Shape",
    "SyncedArray",
    "SyncedState",
    "host_copy",
    "numbers",
    "proto_shape",
    "same_shape",
    "shape_mismatch",
    "shape_text",
]
