"""Conformance cases use every field of every message in a layer's parameters."""

from __future__ import annotations

from collections import defaultdict

import pytest

from cafx.conformance.suite import Subject
from cafx.kernel import registry, schema
from cafx.kernel.schema import Message, declared_by

MESSAGES = sorted(schema().fields_of("LayerParameter"))
SUBJECTS = [Subject.of(name) for name in registry().names("layer")]


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
    assert sorted(set(declared.__options__) - USED[field]) == []
