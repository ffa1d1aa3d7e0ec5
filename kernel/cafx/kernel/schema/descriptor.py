"""protobuf's description of the messages that are declared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from enum import IntEnum
from typing import Any

import attrs
from google.protobuf import descriptor_pb2

from cafx.kernel.schema.dialect import Addition, Additions
from cafx.kernel.schema.message import Message, Option, derived_number, scoped_name

PACKAGE = "caffe"
_FIELD = descriptor_pb2.FieldDescriptorProto


def file_descriptor(declared: Sequence[type[Message]], additions: Additions) -> bytes:
    """The messages as one serialised FileDescriptorProto.

    A number that a dialect's field shares with another field of its message is not used for it: the field gets
    a number derived from its name, and in binary files the fork's number stays an unknown field.

    Args:
        declared: the declarations, with all that dialects add to them.
        additions: what dialects add.
    """
    file = descriptor_pb2.FileDescriptorProto(name="cafx.proto", package=PACKAGE, syntax="proto2")
    fields = _fields(declared)
    for name, options in fields.items():
        built = file.message_type.add(name=name)
        for each in _numbered(options):
            _add_field(file, built, each)
    for one in declared:
        for enum in _enums(one):
            nested = "." in scoped_name(enum)
            holder = next(each for each in file.message_type if each.name == scoped_name(one)) if nested else file
            if enum.__name__ not in {each.name for each in holder.enum_type}:
                _add_enum(holder, enum, additions.to(scoped_name(enum)).values())
    return bytes(file.SerializeToString())


def _fields(declared: Sequence[type[Message]]) -> dict[str, list[Option]]:
    """The fields of each message: its options, and the declarations that it contains."""
    fields = {scoped_name(each): list(each.__options__.values()) for each in declared}
    for each in declared:
        extension = each.__extends__
        if extension and extension.target in fields:
            option = Option(extension.field, extension.number, each, None, "", extension.label, False, None)
            fields[extension.target].append(option)
    return {
        name: [each for each in options if not each.is_message or each.kind_name in fields]
        for name, options in fields.items()
    }


def _numbered(options: Sequence[Option]) -> list[Option]:
    claims = Counter(each.number for each in options)
    return [
        attrs.evolve(each, number=derived_number(each.name)) if each.effect and claims[each.number] > 1 else each
        for each in options
    ]


def _enums(declared: type[Message]) -> list[type[IntEnum]]:
    """The enums inside a declaration, and those of its options that stand outside all declarations."""
    inner = [each for base in declared.__mro__ for each in vars(base).values()]
    outer = [each.kind for each in declared.__options__.values() if each.is_enum and each.effect is None]
    enums = [each for each in inner if isinstance(each, type) and issubclass(each, IntEnum)]
    return enums + [each for each in outer if "." not in scoped_name(each)]


def _add_enum(holder: Any, enum: type[IntEnum], added: Collection[Addition] = ()) -> None:
    proto = holder.enum_type.add(name=enum.__name__)
    for member in enum:
        proto.value.add(name=member.name, number=member.value)
    claims = Counter([*(member.value for member in enum), *(each.number for each in added)])
    for each in added:
        number = each.number if claims[each.number] == 1 else derived_number(each.spelling)
        proto.value.add(name=each.spelling, number=number)


def _add_field(file: Any, proto: Any, declared: Option) -> None:
    field = proto.field.add(name=declared.name, number=declared.number)
    field.label = getattr(_FIELD, f"LABEL_{declared.label.upper()}")
    if declared.is_enum:
        name = declared.kind_name
        if declared.effect:  # protobuf's names of values are those of a message: a dialect's need one of their own
            holder = file.message_type.add(name=f"{proto.name}_{declared.name}")
            _add_enum(holder, declared.kind)
            name = f"{holder.name}.{declared.kind.__name__}"
        field.type = _FIELD.TYPE_ENUM
        field.type_name = f".{PACKAGE}.{name}"
    elif declared.is_message:
        field.type = _FIELD.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{declared.kind_name}"
    else:
        field.type = getattr(_FIELD, f"TYPE_{declared.kind.upper()}")
    if declared.packed:
        field.options.packed = True
    if declared.default is not None and not declared.repeated:
        field.default_value = _default_text(declared)


def _default_text(declared: Option) -> str:
    if declared.is_enum:
        return str(declared.default.name)
    if declared.kind == "bool":
        return "true" if declared.default else "false"
    return f"{declared.default:g}" if declared.kind in ("float", "double") else str(declared.default)
