"""What is required of plugins of every kind: an entry point, a docstring, cases."""

from __future__ import annotations

import inspect
from typing import Any

from cafx.conformance.suite import CheckFailure, Subject, check

LEAST_WORDS = 5


def common_checks(kind: str, base: type[Any], *words: str, needs_cases: bool = True) -> None:
    """Register the checks ``entry-point``, ``docstring`` and ``cases`` of a kind.

    Args:
        kind: the kind.
        base: what the entry point must refer to: a subclass of this class, or an instance of it.
        words: what the docstring must mention.
        needs_cases: whether a plugin without cases cannot be checked.
    """

    @check(
        "entry-point",
        f"the entry point refers to {'an' if base.__name__[0] in 'AEIOU' else 'a'} {base.__name__}",
        kind=kind,
        per_case=False,
    )
    def entry_point(subject: Subject) -> None:
        thing = subject.thing
        if not (isinstance(thing, base) or (isinstance(thing, type) and issubclass(thing, base))):
            raise CheckFailure(f"entry point {subject.plugin.value} is not a {base.__module__}.{base.__qualname__}")

    @check("docstring", "the docstring says what it computes or does", kind=kind, per_case=False)
    def docstring(subject: Subject) -> None:
        text = own_docstring(subject.thing, base)
        missing = [word for word in words if word.lower() not in text.lower()]
        if len(text.split()) < LEAST_WORDS or missing:
            raise CheckFailure(
                f"the docstring must have at least {LEAST_WORDS} words" + "".join(f", and mention {w}" for w in missing)
            )

    title = "there are cases, with unique names" if needs_cases else "cases, if there are any, have unique names"

    @check("cases", title, kind=kind, per_case=False)
    def cases(subject: Subject) -> None:
        names = [case.name for case in subject.cases]
        if not names and needs_cases:
            raise CheckFailure(
                "there are no cases, so that nothing can be checked: yield some from the class method cases(), "
                "or from a function cases() in the plugin's module"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CheckFailure(f"several cases have the name {', '.join(twice)}")


def own_docstring(thing: Any, base: type[Any]) -> str:
    """The docstring of a plugin, not that of its base class; for a command, its help text."""
    if isinstance(thing, type):
        return "" if thing.__doc__ == base.__doc__ else inspect.cleandoc(thing.__doc__ or "")
    help_text = getattr(thing, "help", None)
    return inspect.cleandoc(help_text or ("" if isinstance(thing, base) else thing.__doc__) or "")
