"""Schema: protobuf messages composed at run time from the declarations of the kernel and of all plugins."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from google.protobuf import descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from cafx.kernel.errors import CafxError, UnknownNameError
from cafx.kernel.files.kinds import Kinds, misplaced, sniff
from cafx.kernel.files.source import read_file
from cafx.kernel.registry import Plugin, Registry, registry
from cafx.kernel.schema.core import CORE_MESSAGES
from cafx.kernel.schema.descriptor import PACKAGE, file_descriptor
from cafx.kernel.schema.dialect import Additions
from cafx.kernel.schema.effects import Effects
from cafx.kernel.schema.message import Message, messages_of, scoped_name
from cafx.kernel.schema.text import explained, with_layer_name

KERNEL = "cafx-kernel"
DECLARING = ("layer", "upgrade", "solver", "policy", "filler")
"""Kinds of plugins that add messages to the schema."""
KINDS = {"NetParameter": Kinds.NET, "SolverParameter": Kinds.SOLVER}
M = TypeVar("M", bound=Message)
T = TypeVar("T")
Contribution = tuple[str, type[Message]]


class Schema:
    """Protobuf message classes by name, with readers and writers for text and binary format.

    Args:
        contributions: (distribution, declaration) pairs in addition to the kernel's messages. If two
            declare the same field name or number, both are left out and using either is an error.
        additions: what dialects add to these messages.

    Attributes:
        owners: distribution of each declaration.
        declarations: declarations in the schema, with all that dialects add to them, by message name.
        additions: what dialects add.
        clashes: the error for each field or message that was left out, by name.

    Example:
        >>> schema().parse_text('name: "LeNet"', "NetParameter").name
        'LeNet'
    """

    def __init__(self, contributions: Iterable[Contribution] = (), additions: Additions | None = None) -> None:
        self.additions = additions or Additions()
        self.owners: dict[type[Message], str] = {}
        for owner, root in [(KERNEL, core) for core in CORE_MESSAGES] + list(contributions):
            for each in messages_of([self.additions.complete(root)]):
                self.owners.setdefault(each, owner)
        self.clashes: dict[str, CafxError] = {}
        declared = self._without_clashes()
        pool = descriptor_pool.DescriptorPool()
        pool.AddSerializedFile(file_descriptor(declared, self.additions))
        self._classes = {
            name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
            for name in (scoped_name(each) for each in declared)
        }
        self.declarations = {scoped_name(each): each for each in declared}
        self._effects = Effects(self.additions, PACKAGE)

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
        """Parse prototxt; the fields of dialects are rewritten or dropped as their effects say.

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
        text = self._effects.spell(text.removeprefix("\ufeff"), parsed.DESCRIPTOR, source)
        try:
            text_format.Parse(text, parsed)
        except text_format.ParseError as error:
            clash = next((each for name, each in self.clashes.items() if f'"{name}"' in str(error)), None)
            if clash is not None:
                raise CafxError(clash.message, where=f"{source}:{error.GetLine()}", remedy=clash.remedy) from None
            raise explained(error, text, source, parsed.DESCRIPTOR) from None
        missing = parsed.FindInitializationErrors()
        if missing:
            found = ", ".join(with_layer_name(each, parsed) for each in missing)
            raise CafxError("required fields are missing", where=source, found=found)
        self._effects.settle(parsed, source, text)
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

        The fields of dialects are rewritten or dropped as their effects say.

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
        self._effects.settle(parsed, source)
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
        return self._effects.unspelt(str(text_format.MessageToString(proto)))

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


def compose(plugins: Registry) -> Schema:
    """Compose the schema from the messages of the kernel and of all usable plugins.

    A plugin whose declarations cannot be composed is rejected, and the schema is composed without it.

    Args:
        plugins: the plugins.
    """
    try:
        return _compose(plugins)
    except Exception:  # noqa: BLE001 - a third party's declarations may be wrong in any way
        whole = plugins.usable(*DECLARING)
        for plugin, thing in [*whole, *plugins.usable("dialect")]:
            try:
                dialect = [(plugin, thing)] if plugin.kind == "dialect" else []
                Schema(_contributions(whole if dialect else [(plugin, thing)]), _additions_of(dialect))
            except Exception as error:  # noqa: BLE001
                plugins.reject(plugin, f"declares what cannot be composed: {type(error).__name__}: {error}")
        return _compose(plugins)


def _compose(plugins: Registry) -> Schema:
    return Schema(_contributions(plugins.usable(*DECLARING)), additions_of(plugins))


def _contributions(plugins: Iterable[tuple[Plugin, Any]]) -> list[Contribution]:
    return [(plugin.distribution, declared) for plugin, thing in plugins for declared in declared_by(thing)]


def additions_of(plugins: Registry) -> Additions:
    """What all usable dialects add.

    Args:
        plugins: the plugins.
    """
    return _additions_of(plugins.usable("dialect"))


def _additions_of(dialects: Sequence[tuple[Plugin, Any]]) -> Additions:
    types = {name: plugin.name for plugin, dialect in dialects for name in dialect.types}
    added = (each for plugin, dialect in dialects for each in dialect.additions(plugin.name, plugin.distribution))
    return Additions(added, types)


def complete(declaration: type[M], plugins: Registry | None = None) -> type[M]:
    """A declaration with all that installed dialects add to it.

    Args:
        declaration: a message as its plugin declares it.
        plugins: where dialects are found; by default `registry()`.

    Example:
        >>> from cafx.kernel.schema import BlobShape
        >>> complete(BlobShape) is BlobShape
        True
    """
    return cast(type[M], _cached(plugins, _additions, additions_of).complete(declaration))


def declared_by(thing: Any) -> list[type[Message]]:
    """Declarations of a plugin: its ``Parameter``, then those listed in ``declares``.

    Args:
        thing: the plugin's object, e.g. a layer class.
    """
    first = getattr(thing, "Parameter", None)
    return ([first] if first else []) + list(getattr(thing, "declares", ()))


_composed: dict[int, tuple[int, Schema]] = {}
_additions: dict[int, tuple[int, Additions]] = {}


def schema(plugins: Registry | None = None) -> Schema:
    """The composed schema of a registry, cached until the registry changes.

    Args:
        plugins: the registry; by default `registry()`, that of the environment.

    Example:
        >>> "relu_param" in schema().fields_of("LayerParameter")
        True
    """
    return _cached(plugins, _composed, compose)


def _cached(plugins: Registry | None, cache: dict[int, tuple[int, T]], make: Callable[[Registry], T]) -> T:
    plugins = plugins or registry()
    generation, made = cache.get(id(plugins), (-1, None))
    if made is None or generation != plugins.generation:
        made = make(plugins)
        cache[id(plugins)] = (plugins.generation, made)
    return made
