"""The messages and enums of the composed schema, as attributes of a module.

Example:
    >>> from caffe.proto import caffe_pb2
    >>> caffe_pb2.LayerParameter(name="conv1").name, caffe_pb2.TEST
    ('conv1', 1)
"""

from __future__ import annotations

from typing import Any

from google.protobuf.internal import enum_type_wrapper

from cafx.kernel import schema


def _file() -> Any:
    return schema()["NetParameter"].DESCRIPTOR.file


def __getattr__(name: str) -> Any:
    composed = schema()
    if name in composed.names():
        return composed[name]
    if name == "DESCRIPTOR":
        return _file()
    if name == "__all__":
        return __dir__()
    for enum in _file().enum_types_by_name.values():
        if name == enum.name:
            return enum_type_wrapper.EnumTypeWrapper(enum)
        if name in enum.values_by_name:
            return enum.values_by_name[name].number
    raise AttributeError(f"no installed plugin declares the message or enum value '{name}'")


def __dir__() -> list[str]:
    enums = _file().enum_types_by_name.values()
    values = [value for enum in enums for value in enum.values_by_name]
    return sorted([*schema().names(), *(enum.name for enum in enums), *values])
