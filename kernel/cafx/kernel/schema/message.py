"""Parameter declarations: one attrs class per protobuf message.

A declaration is used three times: the composed protobuf schema, the signature and checks of the
DSL, and the documentation all come from it.

    @message("relu_param", 123)
    class ReLUParameter(Message):
        '''Options of ReLU.'''
        negative_slope: float = option(1, "float", 0.0, doc="slope for x < 0")
"""

from __future__ import annotations

import operator
import zlib
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any, ClassVar, TypeVar, cast

import attrs

from cafx.kernel.errors import CafxError, UnknownNameError, did_you_mean

SIGNED = {f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (32, 64)}
INTEGER_RANGES = {**SIGNED, **{f"uint{bits}": (0, 2**bits - 1) for bits in (32, 64)}}
SCALAR_KINDS = {*INTEGER_RANGES, "float", "double", "bool", "string", "bytes"}
FIRST_FREE_NUMBER = 100_000
LAST_FIELD_NUMBER = 2**29 - 1

Check = Callable[[Any], "str | None"]
T = TypeVar("T", bound="Message")


@attrs.frozen
class Option:
    """One declared field: its name, number, kind, label, default, check and line of documentation.

    ``kind`` is a protobuf scalar's name, an IntEnum, a Message class, or the name of a message
    declared elsewhere. ``check`` returns what would have been right, or None if the value is.
    """

    name: str
    number: int
    kind: Any
    default: Any
    doc: str
    label: str
    packed: bool
    check: Check | None

    @property
    def repeated(self) -> bool:
        """Whether it holds a list."""
        return self.label == "repeated"

    @property
    def is_enum(self) -> bool:
        """Whether its values are names."""
        return isinstance(self.kind, type) and issubclass(self.kind, IntEnum)

    @property
    def is_message(self) -> bool:
        """Whether its values are messages."""
        return not self.is_enum and self.kind not in SCALAR_KINDS

    @property
    def kind_name(self) -> str:
        """Its kind as a word."""
        return self.kind if isinstance(self.kind, str) else scoped_name(self.kind)

    def describe(self) -> str:
        """What a value must be, for error messages: ``one of MAX, AVE`` or ``uint32``."""
        if self.is_enum:
            return "one of " + ", ".join(member.name for member in self.kind)
        return f"a list of {self.kind_name}" if self.repeated else self.kind_name

    def coerce(self, value: Any) -> Any:
        """``value`` as this option holds it, or CafxError saying what it must be."""
        if not self.repeated:
            return self._checked(self._coerce_one(value))
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(self._checked(self._coerce_one(item)) for item in items)

    def _coerce_one(self, value: Any) -> Any:
        if self.is_enum:
            return self._coerce_enum(value)
        if self.is_message:
            return self._coerce_message(value)
        try:
            return _COERCE[self.kind](value, self.kind)
        except (TypeError, ValueError, OverflowError):
            raise self._refuse(value) from None

    def _coerce_enum(self, value: Any) -> IntEnum:
        try:
            member: IntEnum = self.kind[value] if isinstance(value, str) else self.kind(value)
        except (KeyError, ValueError, TypeError):
            raise self._refuse(value) from None
        return member

    def _coerce_message(self, value: Any) -> Any:
        if isinstance(self.kind, type) and isinstance(value, dict):
            return self.kind(**value)
        if isinstance(self.kind, str) or isinstance(value, self.kind):
            return value
        raise self._refuse(value)

    def _checked(self, value: Any) -> Any:
        expected = self.check(value) if self.check else None
        if expected is not None:
            raise CafxError(f"option '{self.name}'", found=repr(value), expected=expected)
        return value

    def _refuse(self, value: Any) -> CafxError:
        return CafxError(f"option '{self.name}'", found=repr(value), expected=self.describe())


def _integer(value: Any, kind: str) -> int:
    if isinstance(value, bool):
        raise TypeError
    low, high = INTEGER_RANGES[kind]
    number = operator.index(value)
    if not low <= number <= high:
        raise OverflowError
    return number


def _real(value: Any, kind: str) -> float:
    if isinstance(value, (bool, str, bytes)):
        raise TypeError
    return float(value)


def _boolean(value: Any, kind: str) -> bool:
    if value not in (False, True):
        raise TypeError
    return bool(value)


def _text(value: Any, kind: str) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _octets(value: Any, kind: str) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(memoryview(value))


_COERCE: dict[str, Callable[[Any, str], Any]] = {
    **dict.fromkeys(INTEGER_RANGES, _integer),
    "float": _real,
    "double": _real,
    "bool": _boolean,
    "string": _text,
    "bytes": _octets,
}


def option(
    number: int,
    kind: Any,
    default: Any = None,
    *,
    doc: str,
    repeated: bool = False,
    required: bool = False,
    packed: bool = False,
    check: Check | None = None,
) -> Any:
    """Declare one field of a message; see `Option`. An absent value reads as ``default``.

    A field of message kind without a default reads as an instance with that message's defaults,
    a repeated field as an empty tuple.
    """
    label = "repeated" if repeated else "required" if required else "optional"
    declared = Option("", number, kind, default, doc, label, packed, check)
    if repeated:
        return attrs.field(default=(), metadata={"option": declared})
    if declared.is_message and isinstance(kind, type):
        return attrs.field(factory=kind, metadata={"option": declared})
    return attrs.field(default=default, metadata={"option": declared})


@attrs.frozen
class Extension:
    """Where a message hangs: ``relu_param = 123`` of LayerParameter, say."""

    target: str
    field: str
    number: int
    label: str = "optional"


class Message:
    """Base of every declaration: keyword construction, presence, and conversion to protobuf."""

    __options__: ClassVar[dict[str, Option]] = {}
    __extends__: ClassVar[Extension | None] = None
    _given: frozenset[str]

    def __init__(self, **given: Any) -> None:
        values = {name: self._option(name).coerce(value) for name, value in given.items()}
        self.__attrs_init__(**values)  # type: ignore[attr-defined]  # attrs generates it
        self._given = frozenset(given)

    @classmethod
    def _option(cls, name: str) -> Option:
        try:
            return cls.__options__[name]
        except KeyError:
            raise UnknownNameError(
                f"unknown option '{name}' of {cls.__name__}",
                expected="one of " + ", ".join(cls.__options__),
                remedy=did_you_mean(name, cls.__options__),
            ) from None

    def has(self, name: str) -> bool:
        """Whether ``name`` was stated, as opposed to read from its default."""
        return name in self._given

    @classmethod
    def from_proto(cls: type[T], proto: Any) -> T:
        """The declared class's view of a protobuf message of the same name."""
        stated = {field.name: value for field, value in proto.ListFields()}
        return cls(
            **{
                name: _from_proto(declared, stated[name])
                for name, declared in cls.__options__.items()
                if name in stated
            }
        )

    def fill(self, proto: Any) -> Any:
        """Write the stated options into ``proto`` and return it."""
        for name in sorted(self._given, key=lambda name: self.__options__[name].number):
            _to_proto(self.__options__[name], getattr(self, name), proto)
        if hasattr(proto, "SetInParent"):
            proto.SetInParent()
        return proto


def _from_proto(declared: Option, value: Any) -> Any:
    if declared.is_message and isinstance(declared.kind, type):
        convert = cast(Any, declared.kind).from_proto
        return [convert(item) for item in value] if declared.repeated else convert(value)
    return list(value) if declared.repeated else value


def _to_proto(declared: Option, value: Any, proto: Any) -> None:
    target: Any = getattr(proto, declared.name) if declared.repeated or declared.is_message else None
    if declared.is_message:
        for item in value if declared.repeated else [value]:
            item.fill(target.add() if declared.repeated else target)
    elif declared.repeated:
        target.extend(value)
    else:
        setattr(proto, declared.name, value)


def message(
    field: str | None = None, number: int | None = None, *, of: str = "LayerParameter", repeated: bool = False
) -> Callable[[type[T]], type[T]]:
    """Make a class of `option` fields a declaration; with ``field`` it hangs in message ``of``.

    Without a ``number`` one at or above 100000 is derived from the field's name.
    """

    def declare(cls: type[T]) -> type[T]:
        defined = attrs.define(cls, init=False, slots=False, eq=False)
        defined.__options__ = {
            attribute.name: attrs.evolve(attribute.metadata["option"], name=attribute.name)
            for attribute in attrs.fields(cast(Any, defined))
            if "option" in attribute.metadata
        }
        if field is not None:
            label = "repeated" if repeated else "optional"
            taken = derived_number(field) if number is None else number
            defined.__extends__ = Extension(of, field, taken, label)
        return defined

    return declare


def derived_number(field: str) -> int:
    """The field number a plugin gets that asks for none: stable, at or above 100000."""
    return FIRST_FREE_NUMBER + zlib.crc32(field.encode()) % (LAST_FIELD_NUMBER - FIRST_FREE_NUMBER)


def scoped_name(kind: type) -> str:
    """``PoolingParameter.PoolMethod`` for a nested enum, ``Phase`` for a top-level one."""
    return kind.__qualname__.rsplit("<locals>.", 1)[-1]


def at_least(low: float) -> Check:
    """A check: the value is no smaller than ``low``."""
    return lambda value: None if value >= low else f"at least {low}"


def above(low: float) -> Check:
    """A check: the value is greater than ``low``."""
    return lambda value: None if value > low else f"more than {low}"


def within(low: float, high: float) -> Check:
    """A check: the value lies between ``low`` and ``high``, both allowed."""
    return lambda value: None if low <= value <= high else f"a value from {low} to {high}"


def one_of(*allowed: Any) -> Check:
    """A check: the value is one of those listed."""
    return lambda value: None if value in allowed else "one of " + ", ".join(map(str, allowed))


def messages_of(roots: Iterable[type[Message]]) -> list[type[Message]]:
    """The declarations in ``roots`` and every declaration they mention, each once."""
    found: dict[type[Message], None] = {}
    waiting = list(roots)
    while waiting:
        current = waiting.pop(0)
        if current in found:
            continue
        found[current] = None
        waiting += [
            declared.kind
            for declared in current.__options__.values()
            if declared.is_message and isinstance(declared.kind, type)
        ]
    return list(found)
