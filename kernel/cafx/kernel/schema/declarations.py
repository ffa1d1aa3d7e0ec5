"""The declarations of the kernel and of plugins, and what a schema takes from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from cafx.kernel.errors import CafxError
from cafx.kernel.schema.added import AddedNames
from cafx.kernel.schema.core import CORE_MESSAGES
from cafx.kernel.schema.descriptor import file_descriptor
from cafx.kernel.schema.dialect import Additions
from cafx.kernel.schema.message import Message, messages_of, scoped_name

KERNEL = "cafx-kernel"
Contribution = tuple[str, type[Message]]


@attrs.frozen
class Composition:
    """What files are read and written with: plain values, which can be saved.

    Attributes:
        descriptor: the messages, as a serialised FileDescriptorProto.
        names: the names of the messages.
        clashes: the message and the remedy of the error for each field or message that was left out, by name.
        added: the names that dialects add.
    """

    descriptor: bytes
    names: list[str]
    clashes: Mapping[str, tuple[str, str]]
    added: AddedNames


class Declarations:
    """The messages of the kernel and of plugins, with all that dialects add to them.

    Args:
        contributions: (distribution, declaration) pairs in addition to the kernel's messages. If two declare the
            same field name or number, both are left out and using either is an error.
        additions: what dialects add to these messages.

    Attributes:
        owners: distribution of each declaration.
        by_name: declarations in the schema, by message name.
        additions: what dialects add.
        clashes: the error for each field or message that was left out, by name.
    """

    def __init__(self, contributions: Iterable[Contribution], additions: Additions) -> None:
        self.additions = additions
        self.owners: dict[type[Message], str] = {}
        for owner, root in [(KERNEL, core) for core in CORE_MESSAGES] + list(contributions):
            for each in messages_of([self.additions.complete(root)]):
                self.owners.setdefault(each, owner)
        self.clashes: dict[str, CafxError] = {}
        self.by_name = {scoped_name(each): each for each in self._without_clashes()}

    def fields_of(self, target: str) -> dict[str, type[Message]]:
        """Declarations that are fields of a message, by field name.

        Args:
            target: name of the message, e.g. ``LayerParameter``.
        """
        extensions = [(each.__extends__, each) for each in self.by_name.values()]
        return {extension.field: each for extension, each in extensions if extension and extension.target == target}

    def compose(self) -> Composition:
        """What files are read and written with.

        Raises:
            TypeError: protobuf refuses the descriptor.
        """
        declared = list(self.by_name.values())
        contents = {
            name: [scoped_name(option.kind) for option in each.__options__.values() if isinstance(option.kind, type)]
            for name, each in self.by_name.items()
        }
        clashes = {name: (error.message, error.remedy or "") for name, error in self.clashes.items()}
        added = AddedNames.of(self.additions, contents)
        return Composition(file_descriptor(declared, self.additions), list(self.by_name), clashes, added)

    def _without_clashes(self) -> list[type[Message]]:
        taken: dict[tuple[str, object], type[Message]] = {}
        clashing: set[type[Message]] = set()
        for each in self.owners:
            for key in _claims(each):
                other = taken.setdefault(key, each)
                if other is not each:
                    clashing |= {each, other}
                    self._record_clash(each, other, key)
        return [each for each in self.owners if each not in clashing]

    def _record_clash(self, one: type[Message], two: type[Message], key: tuple[str, object]) -> None:
        error = CafxError(
            f"{self.owners[two]} and {self.owners[one]} both declare "
            f"{'message' if key[0] == '' else key[0] + ' field'} {key[1]}",
            remedy="uninstall one of them, or ask its author to use another number or name",
        )
        for each in (one, two):
            field = each.__extends__.field if each.__extends__ else scoped_name(each)
            self.clashes[field] = error


def _claims(declared: type[Message]) -> Iterable[tuple[str, object]]:
    """Keys that no other declaration may use: the message name, and the name and number of its field."""
    yield "", scoped_name(declared)
    extension = declared.__extends__
    if extension:
        yield extension.target, extension.field
        yield extension.target, extension.number
