"""Schema: protobuf messages composed at run time from the declarations of the kernel and of all plugins."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from cafx.kernel.errors import CafxError, UnknownNameError
from cafx.kernel.files.kinds import Kinds, misplaced, sniff
from cafx.kernel.files.source import read_file
from cafx.kernel.registry import Registry, registry
from cafx.kernel.schema.core import CORE_MESSAGES
from cafx.kernel.schema.message import Message, Option, messages_of, scoped_name
from cafx.kernel.schema.text import explained, with_layer_name

PACKAGE = "caffe"
KERNEL = "cafx-kernel"
KINDS = {"NetParameter": Kinds.NET, "SolverParameter": Kinds.SOLVER}
_FIELD = descriptor_pb2.FieldDescriptorProto
Contribution = tuple[str, type[Message]]


class Schema:
    """Protobuf message classes by name, with readers and writers for text and binary format.

    Args:
        contributions: (distribution, declaration) pairs in addition to the kernel's messages. If two
            declare the same field name or number, both are left out and using either is an error.

    Attributes:
        owners: distribution of each declaration.
        declarations: declarations in the schema, by message name.
        clashes: the error for each field or message that was left out, by name.

    Example:
        >>> schema().parse_text('name: "LeNet"', "NetParameter").name
        'LeNet'
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
        """The protobuf class of a message.

        Args:
            name: name of the message, e.g. ``LayerParameter``.

        Raises:
            KeyError: the schema has no such message.

        Example:
            >>> schema()["BlobShape"](dim=[2, 3]).dim
            [2, 3]
        """
        return self._classes[name]

    def names(self) -> list[str]:
        """Names of all messages."""
        return list(self._classes)

    def fields_of(self, target: str) -> dict[str, type[Message]]:
        """Declarations that are fields of a message.

        Args:
            target: name of the message, e.g. ``LayerParameter``.

        Returns:
            The declarations by field name (``relu_param``, …).

        Example:
            >>> schema().fields_of("LayerParameter")["loss_param"].__name__
            'LossParameter'
        """
        return {
            each.__extends__.field: each
            for each in self.declarations.values()
            if each.__extends__ and each.__extends__.target == target
        }

    def parse_text(self, text: str, name: str, source: str = "<text>") -> Any:
        """Parse prototxt.

        Args:
            text: the prototxt.
            name: the message type, e.g. ``NetParameter``.
            source: name of the text, for errors.

        Raises:
            CafxError: a syntax error, an unknown field or value (with ``source:line``), or missing
                required fields.

        Example:
            >>> schema().parse_text("dims: 2", "BlobShape", "shape.txt")
            Traceback (most recent call last):
            cafx.kernel.errors.UnknownNameError: shape.txt:1: BlobShape has no field 'dims'; did you mean 'dim'?
        """
        parsed = self._classes[name]()
        text = text.removeprefix("\ufeff")
        try:
            text_format.Parse(text, parsed)
        except text_format.ParseError as error:
            raise explained(error, text, source, self._classes, self.clashes) from None
        missing = parsed.FindInitializationErrors()
        if missing:
            found = ", ".join(with_layer_name(each, parsed) for each in missing)
            raise CafxError("required fields are missing", where=source, found=found)
        return parsed

    def read_text(self, path: str | Path, name: str) -> Any:
        """Parse a prototxt file.

        Args:
            path: the file.
            name: the message type.

        Raises:
            CafxError: as `parse_text`, or the file is missing, unreadable or of another kind.
        """
        data = read_file(path)
        encoding = "utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8"
        try:
            return self.parse_text(data.decode(encoding, "replace"), name, str(path))
        except CafxError as error:
            other = misplaced(path, *([KINDS[name]] if name in KINDS else KINDS.values()))
            if other is None or (isinstance(other, UnknownNameError) and not isinstance(error, UnknownNameError)):
                raise
            raise other from None

    def parse_bytes(self, data: bytes, name: str, source: str = "<bytes>") -> Any:
        """Parse a message in protobuf's binary format; unknown fields are kept byte for byte.

        Args:
            data: the message.
            name: the message type.
            source: name of the data, for errors.

        Raises:
            CafxError: the data is not a complete binary message.
        """
        parsed = self._classes[name]()
        try:
            parsed.ParseFromString(data)
        except DecodeError:
            raise CafxError(
                "is not a complete binary message",
                where=source,
                found=sniff(data),
                expected=f"a {name} in protobuf's binary format",
                remedy="fetch or copy the file again",
            ) from None
        return parsed

    def to_text(self, proto: Any) -> str:
        """A message as prototxt.

        Args:
            proto: the message.

        Example:
            >>> print(schema().to_text(schema()["BlobShape"](dim=[2, 3])), end="")
            dim: 2
            dim: 3
        """
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
            remedy="uninstall one of them, or ask its author to use another number or name",
        )
        for each in (one, two):
            field = each.__extends__.field if each.__extends__ else scoped_name(each)
            self.clashes[field] = error


def _claims(declared: type[Message]) -> Iterable[tuple[str, Any]]:
    """Keys that no other declaration may use: the message name, and the name and number of its field."""
    yield "", scoped_name(declared)
    extension = declared.__extends__
    if extension:
        yield extension.target, extension.field
        yield extension.target, extension.number


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
        extension = each.__extends__
        if extension and extension.target in built:
            field = Option(extension.field, extension.number, each, None, "", extension.label, False, None)
            _add_field(file, built[extension.target], field)
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
    """Compose the schema from the messages of the kernel and of all usable plugins.

    Args:
        plugins: the plugins.
    """
    contributions = [
        (plugin.distribution, declared)
        for plugin, thing in plugins.usable("layer", "upgrade", "solver", "policy", "filler")
        for declared in declared_by(thing)
    ]
    return Schema(contributions)


def declared_by(thing: Any) -> list[type[Message]]:
    """Declarations of a plugin: its ``Parameter``, then those listed in ``declares``.

    Args:
        thing: the plugin's object, e.g. a layer class.
    """
    first = getattr(thing, "Parameter", None)
    return ([first] if first else []) + list(getattr(thing, "declares", ()))


_composed: dict[int, tuple[int, Schema]] = {}


def schema(plugins: Registry | None = None) -> Schema:
    """The composed schema of a registry, cached until the registry changes.

    Args:
        plugins: the registry; by default `registry()`, that of the environment.

    Example:
        >>> "relu_param" in schema().fields_of("LayerParameter")
        True
    """
    plugins = plugins or registry()
    generation, composed = _composed.get(id(plugins), (-1, None))
    if composed is None or generation != plugins.generation:
        composed = compose(plugins)
        _composed[id(plugins)] = (plugins.generation, composed)
    return composed
