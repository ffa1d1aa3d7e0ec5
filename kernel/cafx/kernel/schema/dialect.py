"""Dialects: the fields and enum values that forks of Caffe added to Caffe's own messages.

A plugin of group ``cafx.dialects`` declares them once, and says of each what it means here: a layer reads it, it
is rewritten into what Caffe's own fields say, or it is ignored with a notice.

Example:
    >>> from cafx.kernel.schema import Message, option
    >>> @extends("PoolingParameter")
    ... class RoundingPooling(Message):
    ...     '''How PSPNet's fork rounds the output size.'''
    ...     rounds_up = option(13, "bool", True, doc="round up", effect=ignored("it is the default"))
    >>> class Rounding(Dialect):
    ...     '''Rounding of output sizes.'''
    ...     fork = "PSPNet"
    ...     declares = (RoundingPooling,)
    >>> [(each.target, each.name, each.effect.kind) for each in Rounding.additions("rounding", "cafx-dialect-rounding")]
    [('PoolingParameter', 'rounds_up', 'ignored')]
"""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any, ClassVar, TypeVar

import attrs

from cafx.kernel.errors import CafxError
from cafx.kernel.schema.message import SEPARATOR, Message, Option, derived_number, redeclared, scoped_name

READ, REWRITTEN, IGNORED = "read", "rewritten", "ignored"
DIALECT_SETTING = "CAFX_DIALECT"
M = TypeVar("M", bound=type[Message])
E = TypeVar("E", bound=type[IntEnum])


@attrs.frozen
class Effect:
    """What a field or value of a dialect does here.

    Attributes:
        kind: ``read``, ``rewritten`` or ``ignored``.
        doc: by whom it is read, into what it is rewritten, or why it is ignored.
        rewrite: expresses a field, which is set, by other fields of its message, given as protobuf.
        instead: for an enum value: the name of Caffe's own value that replaces it.
    """

    kind: str
    doc: str
    rewrite: Callable[[Any], object] | None = None
    instead: str = ""


def read_by(reader: str) -> Effect:
    """The field is read by ``reader``, e.g. ``"AnnotatedData"``."""
    return Effect(READ, f"read by {reader}")


def rewritten(rewrite: Callable[[Any], object], doc: str) -> Effect:
    """The field is rewritten at load.

    Args:
        rewrite: gets the protobuf message in which the field is set; sets other fields of it.
        doc: what it becomes, e.g. ``"round_mode"``.
    """
    return Effect(REWRITTEN, f"rewritten as {doc}", rewrite)


def becomes(value: str) -> Effect:
    """The enum value is replaced by Caffe's own ``value`` at load."""
    return Effect(REWRITTEN, f"rewritten as {value}", instead=value)


def ignored(why: str) -> Effect:
    """The field is dropped at load, with a notice; a field with such an enum value as well."""
    return Effect(IGNORED, f"ignored: {why}")


def extends(target: str) -> Callable[[M], M]:
    """Class decorator: the options of this class are further fields of the message ``target``.

    Args:
        target: name of a message that the kernel or another plugin declares, e.g. ``PoolingParameter``.
    """

    def declare(cls: M) -> M:
        declared: Any = redeclared(cls)
        declared.__adds_to__ = target
        return declared  # type: ignore[no-any-return]  # attrs returns the same class

    return declare


def adds_values(target: str, effects: Effect | Mapping[str, Effect]) -> Callable[[E], E]:
    """Class decorator: the members of this IntEnum are further values of the enum ``target``.

    Args:
        target: name of the enum, e.g. ``LossParameter.NormalizationMode``.
        effects: what the values do, for all or by name.

    Example:
        >>> @adds_values("LossParameter.NormalizationMode", read_by("SoftmaxWithLossOHEM"))
        ... class Normalization(IntEnum):
        ...     '''R-FCN's further divisor.'''
        ...     PRE_FIXED = 4
    """

    def declare(cls: E) -> E:
        declared: Any = cls
        declared.__adds_to__ = target
        declared.__effects__ = {
            member.name: effects if isinstance(effects, Effect) else effects[member.name] for member in cls
        }
        return cls

    return declare


@attrs.frozen
class Addition:
    """One field or enum value that a dialect adds.

    Attributes:
        target: the message or enum it is added to.
        name: its name in a prototxt.
        number: its number in the fork.
        meaning: the option, or the enum member.
        effect: what it does here.
        dialects: the dialects that declare it with this meaning.
        spelling: its name in the schema: ``name``, or ``DIALECT__name`` if dialects disagree about it.
    """

    target: str
    name: str
    number: int
    meaning: Any
    effect: Effect
    dialects: tuple[str, ...]
    spelling: str

    @property
    def is_value(self) -> bool:
        """Whether it is an enum value."""
        return isinstance(self.meaning, IntEnum)

    @property
    def identity(self) -> Any:
        """Additions of one name and identity are the same."""
        if self.is_value:
            return self.effect
        return self.meaning.kind_name, self.meaning.label, self.meaning.default, self.effect


class Dialect:
    """What one fork of Caffe adds to Caffe's messages; a plugin of group ``cafx.dialects``.

    Class attributes:
        fork: the fork's name, e.g. ``SSD``.
        declares: the classes decorated with `extends` or `adds_values`.
        types: layer types that only this fork has; a net that uses them speaks this dialect.
    """

    fork: ClassVar[str] = ""
    declares: ClassVar[Sequence[type]] = ()
    types: ClassVar[Sequence[str]] = ()

    @classmethod
    def additions(cls, dialect: str, distribution: str) -> Iterator[Addition]:
        """All fields and values it adds.

        Args:
            dialect: the name under which the plugin is found.
            distribution: the distribution that provides it, for errors.

        Raises:
            CafxError: a field has no effect.
        """
        each: Any
        for each in cls.declares:
            target: str = getattr(each, "__adds_to__", "")
            if issubclass(each, IntEnum):
                effects: Mapping[str, Effect] = getattr(each, "__effects__", {})
                for member in each:
                    effect = effects[member.name]
                    yield Addition(target, member.name, member.value, member, effect, (dialect,), member.name)
                continue
            for name, declared in each.__options__.items():
                if not isinstance(declared.effect, Effect):
                    raise CafxError(f"{target}.{name} of {distribution} has no effect", remedy="pass effect=…")
                yield Addition(target, name, declared.number, declared, declared.effect, (dialect,), name)


class Additions:
    """What all installed dialects add.

    One addition that several dialects declare alike is the same; where they disagree about a name, each gets
    a spelling of its own, and a file must show or say which is meant. A field that one dialect has once and another
    may repeat is not contested: only the repeated one gets a spelling of its own, meant where the field occurs twice.

    Args:
        additions: the additions of all dialects.
        types: the dialect that a layer type belongs to.

    Attributes:
        contested: the additions of each name on which dialects disagree, by target and name.
        lists: the repeated form of each field that another dialect has once, likewise.
    """

    def __init__(self, additions: Iterable[Addition] = (), types: Mapping[str, str] | None = None) -> None:
        self.types = dict(types or {})
        by_name: dict[tuple[str, str], list[Addition]] = {}
        for each in additions:
            _merge(by_name.setdefault((each.target, each.name), []), each)
        pairs = {key: _once_and_repeated(same) for key, same in by_name.items()}
        self.lists = {key: _spelt(pair[1]) for key, pair in pairs.items() if pair}
        self.contested = {
            key: [_spelt(each) for each in same]
            for key, same in by_name.items()
            if len(same) > 1 and key not in self.lists
        }
        settled = {key: self.contested.get(key, same) for key, same in by_name.items()}
        settled |= {key: [pair[0], self.lists[key]] for key, pair in pairs.items() if pair}
        self._by_target: dict[str, dict[str, Addition]] = {}
        for (target, _), same in settled.items():
            self._by_target.setdefault(target, {}).update({each.spelling: each for each in same})
        self._complete: dict[type[Message], type[Message]] = {}

    def to(self, target: str) -> Mapping[str, Addition]:
        """What is added to a message or enum, by spelling."""
        return self._by_target.get(target, {})

    def __iter__(self) -> Iterator[Addition]:
        return (each for added in self._by_target.values() for each in added.values())

    def complete(self, declaration: type[Message]) -> type[Message]:
        """A declaration with all that is added to it: a subclass, or ``declaration`` itself if that is nothing.

        Args:
            declaration: a message as the kernel or a plugin declares it.
        """
        if not self._by_target:
            return declaration
        if declaration not in self._complete:
            additions = self._by_target.get(scoped_name(declaration), {})
            for name in declaration.__options__:  # a message's own field has the meaning its plugin gives it
                additions.pop(name, None)
            added = {each.spelling: self._completed(_option(each)) for each in additions.values()}
            own = {name: self._completed(option) for name, option in declaration.__options__.items()}
            options = {**own, **added}
            same = options == declaration.__options__
            self._complete[declaration] = declaration if same else redeclared(declaration, options)
        return self._complete[declaration]

    def _completed(self, option: Option) -> Option:
        if option.is_enum:
            added = tuple(each.meaning for each in self.to(option.kind_name).values())
            return attrs.evolve(option, added=added)
        if option.is_message and isinstance(option.kind, type):
            return attrs.evolve(option, kind=self.complete(option.kind))
        return option


def _merge(same: list[Addition], addition: Addition) -> None:
    for index, other in enumerate(same):
        if other.identity == addition.identity:
            same[index] = attrs.evolve(other, dialects=tuple(dict.fromkeys(other.dialects + addition.dialects)))
            return
    same.append(addition)


def _once_and_repeated(same: Sequence[Addition]) -> tuple[Addition, Addition] | None:
    """Two additions that are one field, optional and repeated."""
    by_label = {each.meaning.label: each for each in same if not each.is_value}
    if len(same) != 2 or by_label.keys() != {"optional", "repeated"}:
        return None
    once, repeated = by_label["optional"], by_label["repeated"]
    alike = (once.meaning.kind_name, once.effect) == (repeated.meaning.kind_name, repeated.effect)
    return (once, repeated) if alike else None


def _spelt(addition: Addition) -> Addition:
    return attrs.evolve(addition, spelling=f"{addition.dialects[0]}{SEPARATOR}{addition.name}")


def _option(addition: Addition) -> Option:
    option: Option = addition.meaning
    derived = option.number == derived_number(option.name)
    number = derived_number(addition.spelling) if derived else option.number
    return attrs.evolve(option, name=addition.spelling, number=number)


_dialect: contextvars.ContextVar[str | None] = contextvars.ContextVar("dialect", default=None)


@contextlib.contextmanager
def using_dialect(name: str | None) -> Iterator[None]:
    """Read files as the dialect ``name`` within a ``with`` block, where installed dialects disagree.

    Example:
        >>> with using_dialect("ssd"):
        ...     chosen_dialect()
        'ssd'
    """
    token = _dialect.set(name)
    try:
        yield
    finally:
        _dialect.reset(token)


def chosen_dialect() -> str | None:
    """The dialect chosen by `using_dialect` or CAFX_DIALECT, or None."""
    return _dialect.get() or os.environ.get(DIALECT_SETTING) or None
