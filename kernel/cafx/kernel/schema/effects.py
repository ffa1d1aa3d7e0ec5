"""Files in dialects: which dialect a file speaks, and what becomes of its fields when it is read."""

from __future__ import annotations

import itertools
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cafx.kernel.errors import CafxError
from cafx.kernel.schema.added import AddedNames, enum_name
from cafx.kernel.schema.dialect import DIALECT_SETTING, IGNORED, Addition, Additions, chosen_dialect
from cafx.kernel.schema.scan import Mention, Span, mentions

log = logging.getLogger("cafx.schema")


class Effects:
    """Applies to messages what the fields of dialects mean.

    Args:
        additions: the fields and values of all dialects.
        added: their names.
    """

    def __init__(self, additions: Additions, added: AddedNames) -> None:
        self._additions, self._added = additions, added
        names = {each.name for each in additions}
        self._word = re.compile(rf"\b({'|'.join(map(re.escape, names))})\b" if names else r"(?!)")
        self._told: set[str] = set()

    def spell(self, text: str, descriptor: Any, source: str) -> str:
        """A prototxt in which each name that dialects disagree about has the spelling of the one that is meant.

        A field that one dialect repeats is spelt that dialect's way where a message has it more than once.

        Args:
            text: the prototxt.
            descriptor: protobuf's descriptor of its message.
            source: its name, for errors.

        Raises:
            CafxError: neither the file nor a choice says which dialect is meant.
        """
        contested, lists = self._additions.contested, self._additions.lists
        named = list(mentions(text, descriptor))
        evidence = self._evidence(named)
        counts = Counter((each.inside, mention_field(each)) for each in named)
        spelt: dict[Span, str] = {}
        for mention in named:
            field = mention_field(mention)
            for key, span in {mention_value(mention): mention.value_span, field: mention.span}.items():
                if key in contested:
                    spelt[span] = _meant(contested[key], evidence, f"{source}:{mention.line}").spelling
            if field in lists and counts[mention.inside, field] > 1:
                spelt[mention.span] = lists[field].spelling
        for (start, end), spelling in sorted(spelt.items(), reverse=True):
            text = text[:start] + spelling + text[end:]
        return text

    def unspelt(self, text: str) -> str:
        """A prototxt in which each name has its own spelling again."""
        for each in (*itertools.chain(*self._additions.contested.values()), *self._additions.lists.values()):
            text = re.sub(rf"\b{each.spelling}\b", each.name, text)
        return text

    def _evidence(self, named: Iterable[Mention]) -> Counter[str]:
        """For each dialect, how many fields, values and layer types only it has."""
        found: Counter[str] = Counter()
        for mention in named:
            if mention.field == "type" and mention.text in self._additions.types:
                found[self._additions.types[mention.text]] += 1
            for target, name in (mention_field(mention), mention_value(mention)):
                addition = self._additions.to(target).get(name)
                found.update(addition.dialects if addition else ())
        return found

    def settle(self, proto: Any, source: str, text: str = "") -> None:
        """Rewrite and drop what the effects of dialects say, in place.

        Args:
            proto: the message.
            source: name of its file, for notices.
            text: its prototxt, if it was read from one.

        Raises:
            CafxError: a field that cannot be rewritten.
        """
        dropped: Counter[Addition] = Counter()
        self._settle(proto, source, dropped)
        for addition, count in dropped.items():
            self._tell(addition, count, source, self._lines(addition, proto.DESCRIPTOR, text))

    def _settle(self, message: Any, source: str, dropped: Counter[Addition]) -> None:
        if not self._added.holds(message.DESCRIPTOR):
            return
        added = self._additions.to(message.DESCRIPTOR.name)
        for field, value in message.ListFields():
            if field.message_type is not None:
                for item in value if hasattr(value, "append") or hasattr(value, "add") else [value]:
                    self._settle(item, source, dropped)
            self._settle_value(message, field, value, dropped)
            addition = added.get(field.name)
            if addition is not None and addition.effect.rewrite is not None:
                _rewrite(addition.effect.rewrite, message, source)
                message.ClearField(field.name)
            elif addition is not None and addition.effect.kind == IGNORED:
                dropped[addition] += 1
                message.ClearField(field.name)

    def _settle_value(self, message: Any, field: Any, value: Any, dropped: Counter[Addition]) -> None:
        if field.enum_type is None or not isinstance(value, int):
            return
        added = self._additions.to(enum_name(field.enum_type))
        member = field.enum_type.values_by_number.get(value)
        addition = added.get(member.name) if member is not None else None
        if addition is not None and addition.effect.instead:
            setattr(message, field.name, field.enum_type.values_by_name[addition.effect.instead].number)
        elif addition is not None and addition.effect.kind == IGNORED:
            dropped[addition] += 1
            message.ClearField(field.name)

    def _lines(self, addition: Addition, descriptor: Any, text: str) -> list[int]:
        if not self._word.search(text):
            return []
        names = {(addition.target, addition.spelling)}
        return [each.line for each in mentions(text, descriptor) if names & {mention_field(each), mention_value(each)}]

    def _tell(self, addition: Addition, count: int, source: str, lines: Sequence[int]) -> None:
        where = f"{source}:{lines[0]}" if lines else source
        more = f" ({count} times)" if count > 1 else ""
        notice = f"{where}: {addition.target}.{addition.name}{more} is {addition.effect.doc}"
        if notice not in self._told:
            self._told.add(notice)
            log.warning(notice)


def mention_field(mention: Mention) -> tuple[str, str]:
    """The message and name of a field, as the additions of dialects are found by."""
    return mention.owner, mention.field


def mention_value(mention: Mention) -> tuple[str, str]:
    """The enum and name of a value, likewise."""
    return mention.enum, mention.text


def _meant(candidates: Sequence[Addition], evidence: Counter[str], where: str) -> Addition:
    chosen = chosen_dialect()
    named = [each for each in candidates if chosen in each.dialects]
    best = max(max(evidence[dialect] for dialect in each.dialects) for each in candidates)
    proven = [each for each in candidates if best and any(evidence[dialect] == best for dialect in each.dialects)]
    meant = named or proven
    if len(meant) == 1:
        return meant[0]
    dialects = sorted(each.dialects[0] for each in candidates)
    raise CafxError(
        f"{candidates[0].target}.{candidates[0].name} means different things in the dialects {' and '.join(dialects)}",
        where=where,
        remedy=f"say which, e.g. --dialect {dialects[0]} or {DIALECT_SETTING}={dialects[0]}",
    )


def _rewrite(rewrite: Callable[[Any], object], message: Any, source: str) -> None:
    try:
        rewrite(message)
    except CafxError as error:
        raise error.at(source) from None
