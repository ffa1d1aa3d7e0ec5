"""Options as annotated keyword parameters, in the text of a stub."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator
from typing import Any

from cafx.kernel.schema import Message, Option

SCALARS = {"string": "str", "bytes": "bytes", "bool": "bool", "float": "float", "double": "float"}
MESSAGES = "messages"
"""The stub module with the messages."""


def parameter(declared: Option) -> str:
    """An option as a keyword parameter: ``stride: int | Sequence[int] = ...``.

    Example:
        >>> from cafx.kernel.schema import LayerParameter
        >>> parameter(LayerParameter.__options__["name"])
        'name: str | None = None'
        >>> parameter(LayerParameter.__options__["loss_weight"])
        'loss_weight: float | Sequence[float] | None = None'
    """
    default = _default(declared)
    given = annotation(declared)
    return f"{declared.name}: {given} = {default}" if default != "None" else f"{declared.name}: {given} | None = None"


def annotation(declared: Option) -> str:
    """The type of what an option takes."""
    one = _one(declared)
    if not declared.repeated:
        return one
    return f"{one} | Sequence[{one}]"


def value_annotation(declared: Option) -> str:
    """The type of what an option reads as, on an object that has it as an attribute."""
    if declared.is_enum or not declared.is_message:
        one = "int" if declared.is_enum else _scalar(declared)
        return f"tuple[{one}, ...]" if declared.repeated else f"{one} | None" if declared.default is None else one
    return "Any"


def is_keyword_name(name: str) -> bool:
    """Whether an option can be written as a keyword argument."""
    return name.isidentifier() and not keyword.iskeyword(name)


def type_name(declared: Any) -> str:
    """The name of a message's TypedDict: ``PoolingParameter``, or ``Outer_Inner``."""
    return str(declared.__qualname__).rpartition("<locals>.")[2].replace(".", "_")


def messages_in(options: Iterable[Option]) -> Iterator[type[Message]]:
    """The messages that options take, and those within them."""
    for each in options:
        if each.is_message and isinstance(each.kind, type):
            yield each.kind
            yield from messages_in(each.kind.__options__.values())


def _one(declared: Option) -> str:
    if declared.is_enum:
        return f"Literal[{', '.join(repr(name) for name in declared.members)}] | int"
    if declared.is_message:
        return _message(declared.kind)
    return _scalar(declared)


def _scalar(declared: Option) -> str:
    return SCALARS.get(str(declared.kind), "int")


def _message(kind: Any) -> str:
    if not isinstance(kind, type):
        return "dict[str, Any]"
    short = kind.__options__.get(getattr(kind, "__short__", ""))  # type: ignore[attr-defined]
    forms = [f"{MESSAGES}.{type_name(kind)}", "dict[str, Any]"]
    if short is not None:
        forms.append(f"Sequence[{_scalar(short)}]" if short.repeated else _scalar(short))
    return " | ".join(forms)


def _default(declared: Option) -> str:
    if declared.repeated or declared.is_message or declared.default is None:
        return "None"
    if declared.is_enum:
        return repr(declared.default.name)
    return repr(declared.default)
