"""Files in dialects: which dialect a file speaks, and what becomes of its fields when it is read."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cafx.kernel.errors import CafxError
from cafx.kernel.schema.dialect import DIALECT_SETTING, IGNORED, Addition, Additions, chosen_dialect
from cafx.kernel.schema.scan import Mention, mentions

log = logging.getLogger("cafx.schema")


class Effects:
    """Applies to messages what the fields of dialects mean.

    Args:
        additions: the fields and values of all dialects.
        package: protobuf's name of the package.
    """

    def __init__(self, additions: Additions, package: str) -> None:
        self._additions = additions
        self._prefix = f"{package}."
        names = {each.name for each in additions}
        self._word = re.compile(rf"\b({'|'.join(map(re.escape, names))})\b" if names else r"(?!)")
        self._holding: dict[str, bool] = {}
        self._told: set[str] = set()

    def spell(self, text: str, descriptor: Any, source: str) -> str:
        """A prototxt in which each name that dialects disagree about has the spelling of the one that is meant.

        Args:
            text: the prototxt.
            descriptor: protobuf's descriptor of its message.
            source: its name, for errors.

        Raises:
            CafxError: neither the file nor a choice says which dialect is meant.
        """
        contested = self._additions.contested
        if not contested or not any(re.search(rf"\b{name}\b", text) for _, name in contested):
            return text
        named = list(mentions(text, descriptor))
        evidence = self._evidence(named)
        for mention in reversed(named):
            spans = {mention_value(mention): mention.value_span, mention_field(mention): mention.span}
            for key, (start, end) in spans.items():
                if key in contested:
                    meant = _meant(contested[key], evidence, f"{source}:{mention.line}")
                    text = text[:start] + meant.spelling + text[end:]
        return text

    def unspelt(self, text: str) -> str:
        """A prototxt in which each name has its own spelling again."""
        for same in self._additions.contested.values():
            for each in same:
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
        if not self._holds(message.DESCRIPTOR):
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
        added = self._additions.to(field.enum_type.full_name.removeprefix(self._prefix))
        member = field.enum_type.values_by_number.get(value)
        addition = added.get(member.name) if member is not None else None
        if addition is not None and addition.effect.instead:
            setattr(message, field.name, field.enum_type.values_by_name[addition.effect.instead].number)
        elif addition is not None and addition.effect.kind == IGNORED:
            dropped[addition] += 1
            message.ClearField(field.name)

    def _holds(self, descriptor: Any) -> bool:
        """Whether a dialect adds anything to a message of this type or to one inside it."""
        if descriptor.name not in self._holding:
            self._holding[descriptor.name] = False  # while it is being found out, for messages that hold themselves
            self._holding[descriptor.name] = bool(self._additions.to(descriptor.name)) or any(
                self._holds(field.message_type)
                if field.message_type is not None
                else field.enum_type is not None and self._additions.to(field.enum_type.full_name[len(self._prefix) :])
                for field in descriptor.fields
            )
        return self._holding[descriptor.name]

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
