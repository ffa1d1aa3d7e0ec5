"""The protobuf schema, composed at run time from the kernel's messages and every plugin's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from cafx.kernel.core import CORE_MESSAGES
from cafx.kernel.errors import CafxError, UnknownNameError, did_you_mean
from cafx.kernel.message import Message, Option, messages_of, scoped_name
from cafx.kernel.registry import Registry, likely_distribution, registry

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
            raise self._text_error(error, source) from None
        missing = parsed.FindInitializationErrors()
        if missing:
            found = ", ".join(_with_layer_name(each, parsed) for each in missing)
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

    def _text_error(self, error: text_format.ParseError, source: str) -> CafxError:
        line = error.GetLine()
        where = f"{source}:{line}" if line else source
        reason = re.sub(r"^\d+:\d+ : ('.*': )?", "", str(error), flags=re.DOTALL)
        unknown = re.search(r'type "caffe\.([\w.]+)" has no field named "(\w+)"', reason)
        if unknown:
            return self._unknown_field(unknown[1], unknown[2]).at(where)
        value = re.search(r'Enum type "caffe\.([\w.]+)" has no value (?:named|with number) (\S+?)\.?$', reason)
        if value:
            return self._unknown_value(value[1], value[2]).at(where)
        quoted = re.match(r"\d+:(\d+) : '", str(error))  # the line of text follows
        before = str(error)[quoted.end() :][: int(quoted[1]) - 1] if quoted else ""
        field = re.search(r"(\w+)\s*:[^:{}]*$", before)
        what = f"the value of '{field[1]}' " if field else ""
        return CafxError(f"{what}cannot be read as prototxt: {reason}", where=where)

    def _unknown_field(self, owner: str, field: str) -> CafxError:
        if field in self.clashes:
            clash = self.clashes[field]
            return CafxError(clash.message, remedy=clash.remedy)
        known = [known.name for known in self._classes[owner].DESCRIPTOR.fields]
        remedy = did_you_mean(field, known)
        if owner.endswith("LayerParameter") and field.endswith("_param"):
            plugin = likely_distribution("layer", field.removesuffix("_param").replace("_", ""))
            hint = f"no installed plugin declares it; try 'pip install {plugin}'"
            remedy = f"{hint}, or {remedy}" if remedy else hint
        return UnknownNameError(f"{owner} has no field '{field}'", remedy=remedy)

    def _unknown_value(self, enum: str, value: str) -> CafxError:
        scope, _, short = enum.rpartition(".")
        holder = self._classes[scope].DESCRIPTOR if scope else None
        names = list(holder.enum_types_by_name[short].values_by_name) if holder else ["TRAIN", "TEST"]
        known = "one of " + ", ".join(names)
        return UnknownNameError(f"unknown value '{value}' of {enum}", expected=known, remedy=did_you_mean(value, names))


def _with_layer_name(path: str, proto: Any) -> str:
    """``layer[1].clip_param.min`` with the layer's name in place of its number."""
    return re.sub(r"^layer\[(\d+)\]\.", lambda at: f"layer '{proto.layer[int(at[1])].name}' without ", path)


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


HEAD = 512


def read_file(path: str | Path, size: int = -1) -> bytes:
    """The bytes of a file, or its first ``size``; CafxError where it is missing or unreadable."""
    try:
        with Path(path).open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise CafxError(f"cannot be read: {error.strerror}", where=str(path), remedy="check the path") from None


def read_head(path: str | Path) -> bytes:
    """The first bytes of a file, by which its kind is known."""
    return read_file(path, HEAD)


def sniff(data: bytes) -> str:
    """What a file that is not what it should be seems to be, for error messages."""
    head = data[:64].lstrip().lower()
    if not data:
        return "an empty file"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file it stands for"
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page"
    if head.startswith((b"\x89hdf",)):
        return "an HDF5 file"
    return f"a file starting {data[:8]!r}"
