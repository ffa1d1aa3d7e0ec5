"""Parameter declarations: one attrs class per protobuf message.

The composed protobuf schema, the DSL's signatures and checks, and the documentation are all derived
from these declarations.

Example:
    >>> from cafx.kernel.schema import within
    >>> @message("tilt_param")
    ... class TiltParameter(Message):
    ...     '''Options of Tilt.'''
    ...     angle: float = option(1, "float", 0.0, doc="angle in degrees", check=within(-90, 90))
    >>> TiltParameter(angle=30).angle
    30.0
    >>> TiltParameter(angle=100)
    Traceback (most recent call last):
    cafx.kernel.errors.CafxError: angle=100 is not valid: expected a value from -90 to 90
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Any, ClassVar, TypeVar, cast

import attrs

from cafx.kernel.errors import CafxError, UnknownNameError, did_you_mean
from cafx.kernel.schema.limits import Check
from cafx.kernel.schema.scalars import SCALAR_KINDS, SCALAR_VALUES, to_scalar

FIRST_FREE_NUMBER = 100_000
SEPARATOR = "__"
"""Between a dialect's name and a field's, where dialects disagree about the field."""
LAST_FIELD_NUMBER = 2**29 - 1
T = TypeVar("T", bound="Message")


@attrs.frozen
class Option:
    """One declared field of a message.

    Attributes:
        name: field name.
        number: protobuf field number.
        kind: name of a protobuf scalar type, an IntEnum, a Message class, or the name of a message
            declared elsewhere.
        default: value of a field that is not set.
        doc: one line of documentation.
        label: ``optional``, ``required`` or ``repeated``.
        packed: whether a repeated scalar is written in packed form.
        check: returns None for a valid value, or else a description of valid values.
        effect: for a field of a dialect: what it does here.
        added: values that dialects add to the enum.
    """

    name: str
    number: int
    kind: Any
    default: Any
    doc: str
    label: str
    packed: bool
    check: Check | None
    effect: Any = None
    added: tuple[IntEnum, ...] = ()

    @property
    def repeated(self) -> bool:
        """Whether the field is a list."""
        return self.label == "repeated"

    @property
    def is_enum(self) -> bool:
        """Whether the values are members of an enum."""
        return isinstance(self.kind, type) and issubclass(self.kind, IntEnum)

    @property
    def is_message(self) -> bool:
        """Whether the values are messages."""
        return not self.is_enum and self.kind not in SCALAR_KINDS

    @property
    def kind_name(self) -> str:
        """The kind's name: ``uint32``, ``FillerParameter`` or ``PoolingParameter.PoolMethod``."""
        return self.kind if isinstance(self.kind, str) else scoped_name(self.kind)

    @property
    def members(self) -> dict[str, IntEnum]:
        """The values of an enum by name, those that dialects add included."""
        return {member.name: member for member in (*self.kind, *self.added)}

    def describe(self) -> str:
        """The type in one phrase, for documentation: ``one of MAX, AVE`` or ``a list of uint32``."""
        if self.is_enum:
            return "one of " + ", ".join(self.members)
        return f"a list of {self.kind_name}" if self.repeated else self.kind_name

    def coerce(self, value: Any) -> Any:
        """Convert ``value`` to this option's type; a repeated option also accepts a single item.

        Args:
            value: a number, string or bytes; the name or number of an enum member; a dict or Message
                for a message; a list or tuple of these for a repeated option.

        Returns:
            The converted value; a tuple for a repeated option.

        Raises:
            CafxError: the value has the wrong type or does not pass the check.
        """
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
            return to_scalar(value, self.kind)
        except (TypeError, ValueError, OverflowError):
            raise self._refuse(value) from None

    def _coerce_enum(self, value: Any) -> IntEnum:
        for name, member in self.members.items():
            if value == (name if isinstance(value, str) else member):
                return member
        raise self._refuse(value)

    def _coerce_message(self, value: Any) -> Any:
        if isinstance(self.kind, type) and isinstance(value, dict):
            return self.kind(**value)
        if isinstance(self.kind, str) or isinstance(value, self.kind) or issubclass(self.kind, type(value)):
            return value
        raise self._refuse(value)

    def _checked(self, value: Any) -> Any:
        expected = self.check(value) if self.check else None
        if expected is not None:
            raise CafxError(self._not_valid(value), expected=expected)
        return value

    def _not_valid(self, value: Any) -> str:
        shown = f"{value:g}" if isinstance(value, float) else repr(value)  # hide float32 rounding
        return f"{self.name}={shown} is not valid"

    def _refuse(self, value: Any) -> CafxError:
        message = self._not_valid(value)
        if self.is_enum and isinstance(value, str):
            suggestion = did_you_mean(value, self.members)
            if suggestion:
                return CafxError(message, remedy=f"{suggestion} ({', '.join(self.members)})")
        return CafxError(message, expected=self._valid_values())

    def _valid_values(self) -> str:
        """What to write instead of an invalid value: ``a whole number ≥ 0``, ``dict(dim=[1, 3, 8, 8])``."""
        if self.is_enum:
            return self.describe()
        if self.is_message:
            one = cast(Any, self.kind).__example__ if isinstance(self.kind, type) else f"a {self.kind}"
        else:
            one = SCALAR_VALUES[self.kind]
        return f"{one}, or a list of these" if self.repeated else one


def option(
    number: int | None,
    kind: Any,
    default: Any = None,
    *,
    doc: str,
    repeated: bool = False,
    required: bool = False,
    packed: bool = False,
    check: Check | None = None,
    effect: Any = None,
) -> Any:
    """Declare one field of a message.

    An unset field reads as ``default``; an unset message as an instance with that message's defaults;
    an unset repeated field as an empty tuple.

    Args:
        number: protobuf field number; None for `derived_number`.
        kind: see `Option`.
        default: value of an unset field.
        doc: one line of documentation.
        repeated: the field is a list.
        required: prototxt without this field is an error.
        packed: write a repeated scalar in packed form.
        check: validator, such as `at_least`, `above`, `within` or `one_of`.
        effect: in a dialect: what the field does here, such as `read_by` or `ignored`.
    """
    label = "repeated" if repeated else "required" if required else "optional"
    return _field(Option("", number or 0, kind, default, doc, label, packed, check, effect))


def _field(declared: Option) -> Any:
    metadata = {"option": declared}
    if declared.repeated:
        return attrs.field(default=(), metadata=metadata)
    if declared.is_message and isinstance(declared.kind, type):
        return attrs.field(factory=declared.kind, metadata=metadata)
    return attrs.field(default=declared.default, metadata=metadata)


@attrs.frozen
class Extension:
    """The field through which another message contains a declaration.

    Attributes:
        target: the containing message, e.g. ``LayerParameter``.
        field: field name, e.g. ``relu_param``.
        number: protobuf field number.
        label: ``optional`` or ``repeated``.
    """

    target: str
    field: str
    number: int
    label: str = "optional"


class Message:
    """Base class of declarations: constructed from keywords, converted from and to protobuf.

    Attributes:
        __options__: the declared fields, by name.
        __extends__: the field of another message that contains this one.
        __example__: how to write a value of this type in Python, for error messages.

    Raises:
        UnknownNameError: a keyword that is not a declared field.
        CafxError: a value that is not valid.
    """

    __options__: ClassVar[dict[str, Option]] = {}
    __extends__: ClassVar[Extension | None] = None
    __example__: ClassVar[str] = "dict(…)"
    _given: frozenset[str]

    def __init__(self, **given: Any) -> None:
        values = {name: self._option(name).coerce(value) for name, value in given.items()}
        self.__attrs_init__(**values)  # type: ignore[attr-defined]  # attrs generates it
        self._given = frozenset(given)
        for name in given:
            plain = name.partition(SEPARATOR)[2]
            if plain and plain in given and values[name]:
                raise CafxError(f"{plain} is given in two ways", found=f"{plain} and {name}", expected="one of them")
            if plain and plain not in given:
                setattr(self, plain, values[name])

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
        """Whether field ``name`` is set, even if to its default."""
        return name in self._given or any(each.endswith(SEPARATOR + name) for each in self._given)

    @classmethod
    def from_proto(cls: type[T], proto: Any) -> T:
        """Convert a protobuf message of the same name; fields that are not declared are ignored."""
        present = {field.name: value for field, value in proto.ListFields()}
        return cls(
            **{
                name: _from_proto(declared, present[name])
                for name, declared in cls.__options__.items()
                if name in present
            }
        )

    def fill(self, proto: Any) -> Any:
        """Write the fields that are set into the protobuf message ``proto`` and return it."""
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
    """Class decorator that makes a class of `option` fields a declaration.

    Args:
        field: field of message ``of`` that contains this message; None for no field.
        number: number of that field; None for `derived_number`.
        of: the containing message.
        repeated: the field is a list.
    """

    def declare(cls: type[T]) -> type[T]:
        defined = redeclared(cls)
        if field is not None:
            label = "repeated" if repeated else "optional"
            defined.__extends__ = Extension(of, field, derived_number(field) if number is None else number, label)
        return defined

    return declare


def redeclared(cls: type[T], options: Mapping[str, Option] | None = None) -> type[T]:
    """A class of `option` fields as a declaration, or a subclass of a declaration with other options.

    Args:
        cls: the class.
        options: the options of the subclass, in order.
    """
    if options is not None:
        kept = {name: getattr(cls, name) for name in ("__doc__", "__module__", "__qualname__")}
        cls = type(cls.__name__, (cls,), {**kept, **{name: _field(each) for name, each in options.items()}})
    defined = attrs.define(cls, init=False, slots=False, eq=False)
    defined.__options__ = {
        attribute.name: _named(attribute.metadata["option"], attribute.name)
        for attribute in attrs.fields(cast(Any, defined))
        if "option" in attribute.metadata
    }
    return defined


def _named(declared: Option, name: str) -> Option:
    return attrs.evolve(declared, name=name, number=declared.number or derived_number(name))


def derived_number(field: str) -> int:
    """A field number derived from the field's name: stable, at or above 100000."""
    return FIRST_FREE_NUMBER + zlib.crc32(field.encode()) % (LAST_FIELD_NUMBER - FIRST_FREE_NUMBER)


def scoped_name(kind: type) -> str:
    """The protobuf name of a message or enum class.

    Example:
        >>> from cafx.kernel.schema import FillerParameter
        >>> scoped_name(FillerParameter.VarianceNorm)
        'FillerParameter.VarianceNorm'
    """
    return kind.__qualname__.rsplit("<locals>.", 1)[-1]


def messages_of(roots: Iterable[type[Message]]) -> list[type[Message]]:
    """The declarations in ``roots`` and all declarations they refer to, each once, in breadth-first order."""
    visited: dict[type[Message], None] = {}
    queue = list(roots)
    while queue:
        current = queue.pop(0)
        if current in visited:
            continue
        visited[current] = None
        queue += [
            declared.kind
            for declared in current.__options__.values()
            if declared.is_message and isinstance(declared.kind, type)
        ]
    return list(visited)
