"""The names that dialects add, by which a file that uses none of them is recognised without importing a dialect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from cafx.kernel.schema.dialect import READ, Additions
from cafx.kernel.schema.message import SEPARATOR


@attrs.define
class AddedNames:
    """The names of all fields and enum values that dialects add.

    Attributes:
        ambiguous: names that mean different things in different dialects, as written in a prototxt.
        spellings: the names in the schema, by message or enum.
        read: the messages that contain, at any depth, something which layers read.
    """

    ambiguous: list[str] = attrs.field(factory=list)
    spellings: dict[str, list[str]] = attrs.field(factory=dict)
    read: list[str] = attrs.field(factory=list)
    _holding: dict[str, bool] = attrs.field(factory=dict, init=False, repr=False, eq=False)

    @classmethod
    def of(cls, additions: Additions, contents: Mapping[str, Iterable[str]]) -> AddedNames:
        """The names in additions.

        Args:
            additions: what dialects add.
            contents: the messages and enums that each message refers to, by name.
        """
        spellings: dict[str, list[str]] = {}
        for each in additions:
            spellings.setdefault(each.target, []).append(each.spelling)
        read, grown = {each.target for each in additions if each.effect.kind == READ}, True
        while grown:
            holding = {name for name, inner in contents.items() if not read.isdisjoint(inner)}
            grown = not holding <= read
            read |= holding
        return cls(sorted({name for _, name in (*additions.contested, *additions.lists)}), spellings, sorted(read))

    def ambiguous_in(self, text: str) -> bool:
        """Whether a prototxt has a name that means different things in different dialects."""
        return any(re.search(rf"\b{re.escape(name)}\b", text) for name in self.ambiguous)

    def spelt_in(self, text: str) -> bool:
        """Whether a text has a spelling of one dialect's own."""
        return any(spelling in text for names in self.spellings.values() for spelling in names if SEPARATOR in spelling)

    def occur_in(self, message: Any) -> bool:
        """Whether any of them is in a protobuf message.

        Args:
            message: the message.
        """
        if not self.holds(message.DESCRIPTOR):
            return False
        own = self.spellings.get(message.DESCRIPTOR.name, ())
        return any(field.name in own or self._in_value(field, value) for field, value in message.ListFields())

    def _in_value(self, field: Any, value: Any) -> bool:
        if field.message_type is None and field.enum_type is None:
            return False
        values = value if hasattr(value, "append") or hasattr(value, "add") else [value]
        if field.message_type is not None:
            return any(self.occur_in(each) for each in values)
        members, added = field.enum_type.values_by_number, self.spellings.get(enum_name(field.enum_type), ())
        return any(each in members and members[each].name in added for each in values)

    def holds(self, descriptor: Any) -> bool:
        """Whether a dialect adds anything to messages of a type, or to those inside them.

        Args:
            descriptor: protobuf's descriptor of the type.
        """
        if descriptor.name not in self._holding:
            self._holding[descriptor.name] = False  # while it is being found out, for messages that hold themselves
            self._holding[descriptor.name] = descriptor.name in self.spellings or any(
                self.holds(field.message_type)
                if field.message_type is not None
                else field.enum_type is not None and enum_name(field.enum_type) in self.spellings
                for field in descriptor.fields
            )
        return self._holding[descriptor.name]


def enum_name(enum: Any) -> str:
    """The name of an enum without the package: ``LossParameter.NormalizationMode``."""
    return str(enum.full_name.partition(".")[2])
