"""The checklist of dialects.

>>> from cafx.conformance import plugin_suite
>>> TestSegNet = plugin_suite("dialect", "segnet")
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs

from cafx.conformance.kinds.common import common_checks
from cafx.conformance.suite import CheckFailure, Subject, check
from cafx.kernel import CafxError, schema
from cafx.kernel.schema import Addition, Dialect, using_dialect

KIND = "dialect"
LOGGER = "cafx.schema"
CALLED = "case"
NUMBERS = itertools.count()
READ, IGNORED = "read", "ignored"


@attrs.frozen
class DialectCase:
    """A prototxt in the dialect, and what becomes of it when it is read.

    Args:
        name: a short name, unique among the dialect's cases.
        text: the prototxt.
        becomes: what it says afterwards, in Caffe's own fields and those that layers read.
        message: the message that both are.
        error: words of the error, if the text must be refused.
        skip: the ids of checks that this case fails, with the reason for each.
    """

    name: str
    text: str
    becomes: str = ""
    message: str = "NetParameter"
    error: str = ""
    skip: Mapping[str, str] = attrs.field(factory=dict)


common_checks(KIND, Dialect, needs_cases=False)


def additions(subject: Subject) -> list[Addition]:
    """All fields and values that the dialect adds.

    Raises:
        CheckFailure: one has no effect.
    """
    try:
        return list(subject.thing.additions(subject.type, subject.plugin.distribution))
    except (CafxError, KeyError, AttributeError) as error:
        raise CheckFailure(f"its fields cannot be read: {error}; every field and value needs an effect") from error


def described(addition: Addition) -> str:
    """A field or value for people."""
    return f"{addition.target}.{addition.name}"


@contextmanager
def notices() -> Iterator[list[str]]:
    """The notices given within a block."""
    found: list[str] = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler, logger = Noting(), logging.getLogger(LOGGER)
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)


def read(subject: Subject, text: str, message: str) -> Any:
    """A prototxt as it is read if this dialect is meant, under a new name: notices are given once per file."""
    with using_dialect(subject.type):
        return schema(subject.plugins).parse_text(text, message, f"{CALLED}{next(NUMBERS)}")


def sample(addition: Addition) -> str:
    """A value of a field that is not its default, as prototxt."""
    option = addition.meaning
    if option.is_message:
        return f"{addition.name} {{ }}"
    if option.is_enum:
        return f"{addition.name}: {list(option.kind)[-1].name}"
    if option.kind_name == "string":
        return f'{addition.name}: "a"'
    if option.kind_name == "bool":
        return f"{addition.name}: {'false' if option.default else 'true'}"
    value = 1 if option.label == "repeated" else (option.default or 0) + 1
    return f"{addition.name}: {value}"


def fields(subject: Subject) -> list[Addition]:
    """The fields that the dialect adds, without enum values."""
    return [each for each in additions(subject) if not each.is_value]


@check("fork", "fork names the fork of Caffe", kind=KIND, per_case=False)
def fork(subject: Subject) -> None:
    if not subject.thing.fork.strip():
        raise CheckFailure('fork is empty: name the fork of Caffe, such as "SSD"')


@check("declared", "every field and value has a text, a number and an effect", kind=KIND, per_case=False)
def declared(subject: Subject) -> None:
    found = additions(subject)
    if not found and not subject.thing.types:
        raise CheckFailure("it declares neither fields nor values nor layer types")
    for each in found:
        if not each.effect.doc.strip():
            raise CheckFailure(f"{described(each)}: the effect does not say what it does")
        if each.is_value:
            continue
        if not each.meaning.doc.strip():
            raise CheckFailure(f"{described(each)} has no doc")
        if not isinstance(each.number, int) or each.number < 1:
            raise CheckFailure(f"{described(each)} has number {each.number!r}; None derives one from the name")


@check(
    "targets",
    "every message or enum that it extends exists, and has no such field or value itself",
    kind=KIND,
    per_case=False,
)
def targets(subject: Subject) -> None:
    composed = schema(subject.plugins)
    options = [option for each in composed.declarations.values() for option in each.__options__.values()]
    enums = {option.kind_name for option in options if option.is_enum}
    for each in additions(subject):
        if each.is_value and each.target not in enums:
            raise CheckFailure(f"{described(each)}: no message has a field of an enum {each.target}")
        if not each.is_value:
            if each.target not in composed.names():
                raise CheckFailure(f"{described(each)}: there is no message {each.target}")
            composed[each.target]  # completes its declaration
        if not known(subject, each):
            raise CheckFailure(f"{described(each)} has no effect: the target's own field of this name always wins")


def known(subject: Subject, addition: Addition) -> bool:
    """Whether the schema has an addition, perhaps by another spelling or of several dialects."""
    return any(
        subject.type in each.dialects
        for each in schema(subject.plugins).additions.to(addition.target).values()
        if each.name == addition.name
    )


@check("clashes", "no two of its fields have one name or number", kind=KIND, per_case=False)
def clashes(subject: Subject) -> None:
    names: set[tuple[str, str]] = set()
    numbers: set[tuple[str, int]] = set()
    for each in additions(subject):
        name, number = (each.target, each.name), (each.target, each.number)
        if name in names or number in numbers:
            raise CheckFailure(f"{described(each)} (number {each.number}) is declared twice")
        names.add(name)
        numbers.add(number)


@check("round-trip", "every field survives conversion to text and to binary", kind=KIND, per_case=False)
def round_trip(subject: Subject) -> None:
    from google.protobuf import text_format

    composed = schema(subject.plugins)
    for each in fields(subject):
        spelling = next(
            (
                one.spelling
                for one in composed.additions.to(each.target).values()
                if one.name == each.name and subject.type in one.dialects
            ),
            each.name,
        )
        message = composed[each.target]()
        text_format.Parse(sample(attrs.evolve(each, name=spelling)), message)
        if not message.ListFields():
            raise CheckFailure(f"{described(each)}: the sample '{sample(each)}' sets nothing")
        again = composed[each.target]()
        again.ParseFromString(message.SerializeToString())
        if again != message or text_format.Parse(text_format.MessageToString(message), type(message)()) != message:
            raise CheckFailure(f"{described(each)} is another one after conversion to text or binary and back")


@check(
    "effects",
    "fields that are read stay; those that are rewritten or ignored do not, and the latter are told",
    kind=KIND,
    per_case=False,
)
def effects(subject: Subject) -> None:
    for each in fields(subject):
        with notices() as told:
            try:
                found = read(subject, sample(each), each.target)
            except CafxError as error:
                if each.effect.rewrite is None:
                    raise CheckFailure(f"{described(each)} cannot be read: {error}") from error
                continue
        names = [field.name for field, _ in found.ListFields()]
        present = any(name == each.name or name.endswith(f"__{each.name}") for name in names)
        if present != (each.effect.kind == READ):
            raise CheckFailure(f"{described(each)} is {each.effect.doc}, but {'stays' if present else 'is dropped'}")
        if (each.effect.kind == IGNORED) != any(each.name in line for line in told):
            raise CheckFailure(f"{described(each)} is {each.effect.doc}; notices: {told or 'none'}")


@check(
    "rewritten", "a case has every field and value that is rewritten, unless it is refused", kind=KIND, per_case=False
)
def rewritten(subject: Subject) -> None:
    words = set(re.findall(r"\w+", " ".join(case.text for case in subject.cases)))
    missing = [
        described(each)
        for each in additions(subject)
        if (each.effect.rewrite or each.effect.instead) and each.name not in words and not refused(subject, each)
    ]
    if missing:
        raise CheckFailure(f"no case has {', '.join(missing)}: yield a DialectCase that says what becomes of it")


def refused(subject: Subject, addition: Addition) -> bool:
    """Whether a field, set to something else than its default, is an error."""
    if addition.is_value:
        return False
    try:
        read(subject, sample(addition), addition.target)
    except CafxError:
        return True
    return False


@check("cases-read", "what a case says is what becomes of its text", kind=KIND)
def cases_read(subject: Subject, case: DialectCase) -> None:
    try:
        found = read(subject, case.text, case.message)
    except CafxError as error:
        if not case.error or case.error not in str(error) or CALLED not in str(error):
            raise CheckFailure(f"it cannot be read: {error}") from error
        return
    if case.error:
        raise CheckFailure(f"it is read, though the case expects an error about '{case.error}'")
    expected = read(subject, case.becomes, case.message)
    if found != expected:
        raise CheckFailure(f"it becomes {schema(subject.plugins).to_text(found)!r}, not what the case says")


@check("types", "the layer types that prove the dialect are installed, or known", kind=KIND, per_case=False)
def types(subject: Subject) -> None:
    installed = set(subject.plugins.names("layer"))
    hints = subject.plugins.hints()
    for name in subject.thing.types:
        if name not in installed and not (hints and hints.providers("layer", name)):
            raise CheckFailure(f"no package known here provides layer type '{name}'")
