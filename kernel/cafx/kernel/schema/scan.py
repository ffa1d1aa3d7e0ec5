"""Prototxt, token by token: which fields it names, and where.

protobuf's own parser stops at the first field that it does not know, and keeps no positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import attrs

TOKEN = re.compile(r"""\n|\#[^\n]*|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|[{}<>\[\]:;,]|[^\s{}<>\[\]:;,"'#]+""")
Span = tuple[int, int]
Name = tuple[str, int, Span]
OPEN, CLOSE, QUOTES = ("{", "<"), ("}", ">"), ('"', "'")


@attrs.frozen
class Mention:
    """A field that a prototxt names.

    Attributes:
        owner: the message it is in, e.g. ``PoolingParameter``.
        field: its name.
        value: the value as written, or "" for a message or a list.
        line: its line, counted from 1.
        span: where its name is in the text.
        value_span: where its value is.
        descriptor: protobuf's descriptor of the field, None if the message has no such field.
        inside: where the message it is in begins; -1 for the outermost.
        siblings: the names of all fields of the message.
    """

    owner: str
    field: str
    value: str
    line: int
    span: Span
    value_span: Span
    descriptor: Any
    inside: int
    siblings: tuple[str, ...] = attrs.field(repr=False)

    @property
    def text(self) -> str:
        """The value without quotes."""
        return self.value[1:-1] if self.value[:1] in QUOTES else self.value

    @property
    def enum(self) -> str:
        """The enum of the value, e.g. ``PoolingParameter.PoolMethod``; "" if it is of another kind."""
        enum = self.descriptor.enum_type if self.descriptor is not None else None
        return str(enum.full_name).partition(".")[2] if enum is not None else ""

    @property
    def values(self) -> tuple[str, ...]:
        """The values of that enum."""
        return tuple(self.descriptor.enum_type.values_by_name) if self.enum else ()

    @property
    def unknown_value(self) -> bool:
        """Whether the value is not one of the field's enum."""
        return bool(self.enum) and not re.match(r"-?\d", self.value) and self.text not in self.values


def mentions(text: str, descriptor: Any) -> Iterator[Mention]:
    """The fields that a prototxt names, in order; what is inside an unknown field is passed over.

    Args:
        text: the prototxt.
        descriptor: protobuf's descriptor of its message.

    Example:
        >>> from cafx.kernel.schema import schema
        >>> text = "name: 'a'\\nlayers_ { type: 1 }\\nforce_backward: true"
        >>> found = mentions(text, schema()["NetParameter"].DESCRIPTOR)
        >>> [(each.field, each.value, each.line, each.descriptor is None) for each in found]
        [('name', "'a'", 1, False), ('layers_', '', 2, True), ('force_backward', 'true', 3, False)]
    """
    outer: list[tuple[Any, Name | None, int]] = []
    holder, name, listing, inside = descriptor, None, False, -1
    for word, line, span in _tokens(text):
        if word in OPEN:
            inner = None
            if name is not None and holder is not None:
                mention = _mention(holder, name, "", span, inside)
                inner = mention.descriptor.message_type if mention.descriptor is not None else None
                yield mention
            outer.append((holder, name if listing else None, inside))
            holder, name, listing, inside = inner, None, False, span[0]
        elif word in CLOSE:
            holder, name, inside = outer.pop() if outer else (descriptor, None, -1)
            listing = name is not None
        elif word in "[]":
            listing = word == "["
            name = name if listing else None
        elif word in ":;,":
            continue
        elif name is None:
            name = None if word[0] in QUOTES else (word, line, span)
        else:
            if holder is not None:
                yield _mention(holder, name, word, span, inside)
            name = name if listing else None


def _mention(holder: Any, name: Name, value: str, value_span: Span, inside: int) -> Mention:
    field, line, span = name
    fields = holder.fields_by_name
    return Mention(holder.name, field, value, line, span, value_span, fields.get(field), inside, tuple(fields))


def _tokens(text: str) -> Iterator[Name]:
    line = 1
    for token in TOKEN.finditer(text):
        word = token[0]
        if word == "\n":
            line += 1
        elif not word.startswith("#"):
            yield word, line, token.span()
