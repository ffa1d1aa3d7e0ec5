"""Conformance cases use every field of every message in a layer's parameters; tests of dialects use those they add."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from pathlib import Path

import pytest

from cafx.conformance.suite import Subject
from cafx.kernel import registry, schema
from cafx.kernel.schema import Dialect, Message, declared_by

MESSAGES = sorted(schema().fields_of("LayerParameter"))
SUBJECTS = [Subject.of(name) for name in registry().names("layer")]
READ = "read"


def fields_in_cases() -> dict[str, set[str]]:
    """The fields that cases set, by the message that has them."""
    used: dict[str, set[str]] = defaultdict(set)
    for subject in SUBJECTS:
        for case in subject.cases:
            for name in case.options:
                owner = next(each for each in declared_by(subject.layer) if name in each.__options__)
                assert owner.__extends__ is not None
                used[owner.__extends__.field].add(name)
            for field in set(case.layer) & set(MESSAGES):
                used[field] |= set(case.layer[field])
    return used


USED = fields_in_cases()


@pytest.mark.parametrize("field", MESSAGES)
def test_every_field_of_a_message_is_used(field: str) -> None:
    declared: type[Message] = schema().fields_of("LayerParameter")[field]
    own = {name for name, option in declared.__options__.items() if option.effect is None}
    assert sorted(own - USED[field]) == []


@pytest.mark.parametrize("name", registry().names("dialect"))
def test_every_field_of_a_dialect_that_something_reads_is_tested(name: str) -> None:
    dialect: type[Dialect] = registry().load("dialect", name)
    texts = [path.read_text("utf-8") for path in Path(inspect.getfile(dialect)).parent.glob("test_*.py")]
    if not texts:
        pytest.skip("installed without its tests")
    words = set(re.findall(r"\w+", "\n".join(texts))).union(*USED.values())
    added = {each.name for each in dialect.additions(name, name) if each.effect.kind == READ}
    assert sorted(added - words) == []
