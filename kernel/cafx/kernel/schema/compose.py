"""Schema: protobuf messages composed at run time from the declarations of the kernel and of all plugins."""

from __future__ import annotations

import functools
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary as Cache

from google.protobuf import descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from cafx.kernel.errors import CafxError, UnknownNameError
from cafx.kernel.files.kinds import Kinds, misplaced, sniff
from cafx.kernel.files.source import read_file
from cafx.kernel.registry import Plugin, Registry, registry
from cafx.kernel.schema.declarations import Composition, Contribution, Declarations
from cafx.kernel.schema.descriptor import PACKAGE
from cafx.kernel.schema.dialect import Additions
from cafx.kernel.schema.effects import Effects
from cafx.kernel.schema.message import Message, scoped_name
from cafx.kernel.schema.text import explained, with_layer_name, without_runs

DECLARING = ("layer", "upgrade", "solver", "policy", "filler")
"""Kinds of plugins that add messages to the schema."""
COMPOSITIONS_ROLE = "compositions"
PLACES = re.compile(r"(?m)^ *cafx_place: .*\n")
KINDS = {"NetParameter": Kinds.NET, "SolverParameter": Kinds.SOLVER}
M = TypeVar("M", bound=Message)
T = TypeVar("T")


class Schema:
    """Protobuf message classes by name, with readers and writers for text and binary format.

    Args:
        contributions: (distribution, declaration) pairs in addition to the kernel's messages. If two
            declare the same field name or number, both are left out and using either is an error.
        additions: what dialects add to these messages.

    Attributes:
        clashes: the error for each field or message that was left out, by name.

    Example:
        >>> schema().parse_text('name: "LeNet"', "NetParameter").name
        'LeNet'
    """

    def __init__(self, contributions: Iterable[Contribution] = (), additions: Additions | None = None) -> None:
        declared = Declarations(contributions, additions or Additions())
        self._set(declared.compose(), lambda _: declared, lambda: declared.additions)

    @classmethod
    def of(cls, composition: Composition, declare: Callable[..., Declarations], add: Callable[[], Additions]) -> Schema:
        """The schema of a composition.

        Args:
            composition: what files are read and written with.
            declare: returns the declarations it was composed of, given the additions; called when one is asked for.
            add: returns the dialects' additions; likewise.
        """
        made = cls.__new__(cls)
        made._set(composition, declare, add)
        return made

    def _set(self, composed: Composition, declare: Callable[..., Declarations], add: Callable[[], Additions]) -> None:
        self._names, self._added, self._declare, self._add = composed.names, composed.added, declare, add
        self.clashes = {name: CafxError(message, remedy=remedy) for name, (message, remedy) in composed.clashes.items()}
        self._pool = descriptor_pool.DescriptorPool()
        self._pool.AddSerializedFile(composed.descriptor)
        self._classes: dict[str, Any] = {}

    @functools.cached_property
    def _declared(self) -> Declarations:
        return self._declare(self.additions)

    @functools.cached_property
    def _effects(self) -> Effects:
        return Effects(self.additions, self._added)

    @property
    def owners(self) -> dict[type[Message], str]:
        """Distribution of each declaration. This and the next one import all plugins that declare something."""
        return self._declared.owners

    @property
    def declarations(self) -> dict[str, type[Message]]:
        """Declarations in the schema, with all that dialects add to them, by message name."""
        return self._declared.by_name

    @functools.cached_property
    def additions(self) -> Additions:
        """What dialects add to messages; this imports all dialects, and nothing else."""
        return self._add()

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
        if name not in self._classes:
            if name not in self._names:
                raise KeyError(name)
            found = self._pool.FindMessageTypeByName(f"{PACKAGE}.{name}")
            self._classes[name] = message_factory.GetMessageClass(found)
        return self._classes[name]

    def names(self) -> list[str]:
        """Names of all messages."""
        return list(self._names)

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
        return self._declared.fields_of(target)

    def readable(self, declaration: type[M]) -> type[M]:
        """A declaration with what dialects add to it, if layers read any of that: the rest is gone once a file is read.

        Args:
            declaration: a message as its plugin declares it.
        """
        if scoped_name(declaration) not in self._added.read:
            return declaration
        return cast(type[M], self.additions.complete(declaration))

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
        parsed, text = self[name](), text.removeprefix("\ufeff")
        if self._added.ambiguous_in(text):
            text = self._effects.spell(text, parsed.DESCRIPTOR, source)
        try:
            text_format.Parse(without_runs(text), parsed)
        except text_format.ParseError as error:
            clash = next((each for name, each in self.clashes.items() if f'"{name}"' in str(error)), None)
            if clash is not None:
                raise CafxError(clash.message, where=f"{source}:{error.GetLine()}", remedy=clash.remedy) from None
            raise explained(error, text, source, parsed.DESCRIPTOR) from None
        missing = parsed.FindInitializationErrors()
        if missing:
            found = ", ".join(with_layer_name(each, parsed) for each in missing)
            raise CafxError("required fields are missing", where=source, found=found)
        return self._settled(parsed, source, text)

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
        parsed = self[name]()
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
        return self._settled(parsed, source)

    def _settled(self, parsed: Any, source: str, text: str = "") -> Any:
        """A message in which the fields of dialects are rewritten or dropped, as their effects say."""
        if self._added.occur_in(parsed):
            self._effects.settle(parsed, source, text)
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
        text = PLACES.sub("", str(text_format.MessageToString(proto)))
        return self._effects.unspelt(text) if self._added.spelt_in(text) else text


def compose(plugins: Registry) -> Schema:
    """The schema of the messages of the kernel and of all usable plugins.

    Role ``compositions``, if there is one, keeps what it is composed of, so that the plugins are not imported again
    until one of their files changes: made with the registry and the declaring plugins, it has ``read()``, the
    `Composition` or None, and ``write(composition)``.

    A plugin whose declarations cannot be composed is rejected, and the schema is composed without it.

    Args:
        plugins: the plugins.
    """
    declaring = [plugin for kind in (*DECLARING, "dialect") for plugin in plugins.plugins(kind)]
    kept = plugins.role(COMPOSITIONS_ROLE)
    saved = kept(plugins, declaring) if kept else None
    composition = saved.read() if saved else None
    if composition is not None:
        return Schema.of(composition, functools.partial(_declarations, plugins), lambda: additions_of(plugins))
    try:
        declared = _declarations(plugins, additions_of(plugins))
        composition = declared.compose()
        composed = Schema.of(composition, lambda _: declared, lambda: declared.additions)
    except Exception:  # noqa: BLE001 - a third party's declarations may be wrong in any way
        _reject_wrong(plugins)
        declared = _declarations(plugins, additions_of(plugins))
        return Schema.of(declared.compose(), lambda _: declared, lambda: declared.additions)
    if saved:
        saved.write(composition)
    return composed


def _reject_wrong(plugins: Registry) -> None:
    """Reject each plugin whose declarations cannot be composed."""
    whole = plugins.usable(*DECLARING)
    for plugin, thing in [*whole, *plugins.usable("dialect")]:
        try:
            dialect = [(plugin, thing)] if plugin.kind == "dialect" else []
            Schema(_contributions(whole if dialect else [(plugin, thing)]), _additions_of(dialect))
        except Exception as error:  # noqa: BLE001
            plugins.reject(plugin, f"declares what cannot be composed: {type(error).__name__}: {error}")


def _declarations(plugins: Registry, additions: Additions) -> Declarations:
    return Declarations(_contributions(plugins.usable(*DECLARING)), additions)


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


_composed: Cache[Registry, tuple[int, Schema]] = Cache()
_additions: Cache[Registry, tuple[int, Additions]] = Cache()


def schema(plugins: Registry | None = None) -> Schema:
    """The composed schema of a registry, cached until the registry changes.

    Args:
        plugins: the registry; by default `registry()`, that of the environment.

    Example:
        >>> "relu_param" in schema().fields_of("LayerParameter")
        True
    """
    return _cached(plugins, _composed, compose)


def _cached(plugins: Registry | None, cache: Cache[Registry, tuple[int, T]], make: Callable[[Registry], T]) -> T:
    plugins = plugins or registry()
    if plugins not in cache or cache[plugins][0] != plugins.generation:
        made = make(plugins)
        cache[plugins] = (plugins.generation, made)
    return cache[plugins][1]
