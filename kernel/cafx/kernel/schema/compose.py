"""The protobuf schema, composed at run time from the kernel's messages and every plugin's."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from cafx.kernel.errors import CafxError
from cafx.kernel.registry import Registry, registry
from cafx.kernel.schema.core import CORE_MESSAGES
from cafx.kernel.schema.message import Message, Option, messages_of, scoped_name
from cafx.kernel.schema.source import read_file, sniff
from cafx.kernel.schema.text import explained, with_layer_name

PACKAGE = "caffe"
KERNEL = "cafx-kernel"
_FIELD = descriptor_pb2.FieldDescriptorProto
Contribution = tuple[str, type[Message]]


class Schema:
    """Message classes by name, and text and bytes to and from them.

    Args:
        contributions: (distribution, declaration) pairs beside the kernel's own. Two that claim
            one field name or number are both left out, and using either raises the clash.
    """

    def __init__(self, contributions: Iterable[Contribution] = ()) -> None:
        self.owners: dict[type[Message], str] = {}
        for owner, root in [(KERNEL, core) for core in CORE_MESSAGES] + list(contributions):
            for each in messages_of([root]):
                self.owners.setdefault(each, owner)
        self.clashes: dict[str, CafxError] = {}
        declared = self._without_clashes()
        pool = descriptor_pool.DescriptorPool()
        pool.AddSerializedFile(_file_descriptor(declared))
        self._classes = {
            name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
            for name in (scoped_name(each) for each in declared)
        }
        self.declarations = {scoped_name(each): each for each in declared}

    def __getitem__(self, name: str) -> Any:
        """The message class called ``name``."""
        return self._classes[name]

    def names(self) -> list[str]:
        """The names of all messages."""
        return list(self._classes)

    def fields_of(self, target: str) -> dict[str, type[Message]]:
        """The declarations that hang in message ``target``, by the field's name."""
        return {
            each.__extends__.field: each
            for each in self.declarations.values()
            if each.__extends__ and each.__extends__.target == target
        }

    def parse_text(self, text: str, name: str, source: str = "<text>") -> Any:
        """The message ``name`` written in ``text``; CafxError with ``source:line`` where it is not."""
        parsed = self._classes[name]()
        try:
            text_format.Parse(text, parsed)
        except text_format.ParseError as error:
            raise explained(error, source, self._classes, self.clashes) from None
        missing = parsed.FindInitializationErrors()
        if missing:
            found = ", ".join(with_layer_name(each, parsed) for each in missing)
            raise CafxError("required fields are missing", where=source, found=found)
        return parsed

    def read_text(self, path: str | Path, name: str) -> Any:
        """The message ``name`` in the text file ``path``."""
        return self.parse_text(read_file(path).decode("utf-8", "replace"), name, str(path))

    def parse_bytes(self, data: bytes, name: str, source: str = "<bytes>") -> Any:
        """The message ``name`` encoded in ``data``; fields nobody knows are kept as they are."""
        parsed = self._classes[name]()
        try:
            parsed.ParseFromString(data)
        except DecodeError:
            raise CafxError(
                "this is not, or not all of, a binary message",
                where=source,
                found=sniff(data),
                expected=f"a {name} in protobuf's binary format",
                remedy="fetch or copy the file again",
            ) from None
        return parsed

    def to_text(self, proto: Any) -> str:
        """``proto`` as prototxt."""
        return str(text_format.MessageToString(proto))

    def _without_clashes(self) -> list[type[Message]]:
        taken: dict[tuple[str, Any], type[Message]] = {}
        clashing: set[type[Message]] = set()
        for each in self.owners:
            for key in _claims(each):
                other = taken.setdefault(key, each)
                if other is not each:
                    clashing |= {each, other}
                    self._record_clash(each, other, key)
        return [each for each in self.owners if each not in clashing]

    def _record_clash(self, one: type[Message], two: type[Message], key: tuple[str, Any]) -> None:
        error = CafxError(
            f"{self.owners[two]} and {self.owners[one]} both declare "
            f"{'message' if key[0] == '' else key[0] + ' field'} {key[1]}",
            remedy="uninstall one of them, or ask its author for another number or name",
        )
        for each in (one, two):
            field = each.__extends__.field if each.__extends__ else scoped_name(each)
            self.clashes[field] = error


def _claims(declared: type[Message]) -> Iterable[tuple[str, Any]]:
    """What a declaration takes for itself: its name, and its field's name and number."""
    yield "", scoped_name(declared)
    hung = declared.__extends__
    if hung:
        yield hung.target, hung.field
        yield hung.target, hung.number


def _file_descriptor(declared: list[type[Message]]) -> bytes:
    file = descriptor_pb2.FileDescriptorProto(name="cafx.proto", package=PACKAGE, syntax="proto2")
    names = {scoped_name(each) for each in declared}
    built = {}
    for each in declared:
        built[scoped_name(each)] = file.message_type.add(name=scoped_name(each))
        for declared_option in each.__options__.values():
            if (
                not isinstance(declared_option.kind, str)
                or not declared_option.is_message
                or declared_option.kind in names
            ):
                _add_field(file, built[scoped_name(each)], declared_option)
    for each in declared:
        hung = each.__extends__
        if hung and hung.target in built:
            kind = Option(hung.field, hung.number, each, None, "", hung.label, False, None)
            _add_field(file, built[hung.target], kind)
    for enum in {each for one in declared for each in _top_level_enums(one)}:
        _add_enum(file.enum_type.add(), enum)
    for each in declared:
        for nested in vars(each).values():
            if isinstance(nested, type) and issubclass(nested, IntEnum):
                _add_enum(built[scoped_name(each)].enum_type.add(), nested)
    return bytes(file.SerializeToString())


def _top_level_enums(declared: type[Message]) -> list[type[IntEnum]]:
    kinds = [each.kind for each in declared.__options__.values() if each.is_enum]
    return [kind for kind in kinds if "." not in scoped_name(kind)]


def _add_enum(proto: Any, enum: type[IntEnum]) -> None:
    proto.name = enum.__name__
    for member in enum:
        proto.value.add(name=member.name, number=member.value)


def _add_field(file: Any, proto: Any, declared: Option) -> None:
    field = proto.field.add(name=declared.name, number=declared.number)
    field.label = getattr(_FIELD, f"LABEL_{declared.label.upper()}")
    if declared.is_enum:
        field.type = _FIELD.TYPE_ENUM
        field.type_name = f".{PACKAGE}.{declared.kind_name}"
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


def compose(plugins: Registry) -> Schema:
    """The schema of everything installed that declares messages."""
    contributions = [
        (plugin.distribution, declared)
        for plugin, thing in plugins.usable("layer", "upgrade", "solver", "policy", "filler")
        for declared in declared_by(thing)
    ]
    return Schema(contributions)


def declared_by(thing: Any) -> list[type[Message]]:
    """The declarations a plugin brings: its ``Parameter``, and others listed in ``declares``."""
    first = getattr(thing, "Parameter", None)
    return ([first] if first else []) + list(getattr(thing, "declares", ()))


_composed: dict[int, tuple[int, Schema]] = {}


def schema(plugins: Registry | None = None) -> Schema:
    """The composed schema of a registry (default: this environment's), built once per change."""
    plugins = plugins or registry()
    generation, composed = _composed.get(id(plugins), (-1, None))
    if composed is None or generation != plugins.generation:
        composed = compose(plugins)
        _composed[id(plugins)] = (plugins.generation, composed)
    return composed
