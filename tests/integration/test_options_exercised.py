"""Every field of every message that hangs on a layer is stated by some conformance case."""

from __future__ import annotations

from collections import defaultdict

import pytest

from cafx.conformance.suite import Subject
from cafx.kernel import registry, schema
from cafx.kernel.schema import Message, declared_by

MESSAGES = sorted(schema().fields_of("LayerParameter"))
SUBJECTS = [Subject.of(name) for name in registry().names("layer")]


def stated_fields() -> dict[str, set[str]]:
    """By the field a message hangs in, the names that cases state there."""
    found: dict[str, set[str]] = defaultdict(set)
    for subject in SUBJECTS:
        for case in subject.cases:
            for name in case.options:
                owner = next(each for each in declared_by(subject.layer) if name in each.__options__)
                assert owner.__extends__ is not None
                found[owner.__extends__.field].add(name)
            for field in set(case.layer) & set(MESSAGES):
                found[field] |= set(case.layer[field])
    return found


STATED = stated_fields()


@pytest.mark.parametrize("field", MESSAGES)
def test_every_field_of_a_message_is_exercised(field: str) -> None:
    declared: type[Message] = schema().fields_of("LayerParameter")[field]
    assert sorted(set(declared.__options__) - STATED[field]) == []
