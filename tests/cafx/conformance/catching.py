"""Whether the checks of a checklist catch a plugin that violates them."""

from __future__ import annotations

from typing import Any

from cafx.conformance.suite import CheckFailure, Subject, load_checks
from cafx.kernel import Registry


def failures(kind: str, thing: Any, check_id: str, *, name: str = "subject", registered: str = "") -> list[str]:
    """What one check says about a plugin that is not installed.

    Args:
        kind: the checklist.
        thing: the plugin: a class, function or command.
        check_id: the check.
        name: the plugin's name.
        registered: the registry's kind, if it is not that of the checklist.

    Example:
        >>> from cafx.kernel import Policy
        >>> failures("policy", Policy, "docstring")
        ['the docstring must have at least 5 words']
    """
    plugins = Registry()
    plugins.add(registered or kind, name, thing)
    return problems_of(Subject.of(name, plugins, registered or kind), kind, check_id)


def problems_of(subject: Subject, kind: str, check_id: str) -> list[str]:
    """What one check says about a plugin, case by case."""
    check, found = load_checks(kind)[check_id], []
    for case in subject.cases if check.per_case else (None,):
        if check.applies(subject, case) is None:
            try:
                check.run(*((subject, case) if check.per_case else (subject,)))
            except CheckFailure as failure:
                found.append(str(failure))
    return found
