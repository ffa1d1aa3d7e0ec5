"""The suite: its checks, the layers and cases they apply to, and how they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from cafx.conformance.cases import Case
from cafx.kernel import Layer, Registry, registry
from cafx.kernel.registry import Plugin

LayerClass = type[Layer]


class CheckFailure(AssertionError):
    """Raised by a check: what is wrong with the layer and what its author should do."""


@attrs.frozen
class Subject:
    """The layer under test: its type, class, cases and plugin."""

    type: str
    layer: LayerClass
    cases: tuple[Case, ...]
    plugin: Plugin
    plugins: Registry

    @classmethod
    def of(cls, type_name: str, plugins: Registry | None = None) -> Subject:
        """The subject of a layer type.

        Args:
            type_name: the layer's type.
            plugins: the registry that provides it (default: all installed plugins).
        """
        plugins = plugins or registry()
        layer = plugins.load("layer", type_name)
        return cls(type_name, layer, tuple(layer.cases()), plugins.find("layer", type_name), plugins)


Applies = Callable[[Subject, "Case | None"], "str | None"]


@attrs.frozen
class Check:
    """One item of the checklist.

    Attributes:
        id: its name in CONTRIBUTING.md.
        title: the requirement in one line.
        run: raises `CheckFailure` with advice if the layer does not meet the requirement.
        per_case: whether it runs once per case, or once per layer.
        applies: returns why it does not apply to a subject or case; None if it does.
    """

    id: str
    title: str
    run: Callable[..., None]
    per_case: bool
    applies: Applies


CHECKS: dict[str, Check] = {}


def always(subject: Subject, case: Case | None) -> str | None:
    """Applies to every layer."""
    return None


def check(
    identity: str, title: str, *, per_case: bool = True, applies: Applies = always
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a function as a check.

    Args:
        identity: the check's name in CONTRIBUTING.md.
        title: the requirement in one line.
        per_case: whether the function takes (subject, case), or (subject) alone.
        applies: returns why the check does not apply to a subject or case; None if it does.
    """

    def register(run: Callable[..., None]) -> Callable[..., None]:
        CHECKS[identity] = Check(identity, title, run, per_case, applies)
        return run

    return register


@attrs.frozen
class Item:
    """One check on one subject or case."""

    check: Check
    subject: Subject
    case: Case | None

    def __str__(self) -> str:
        return f"{self.check.id}-{self.case}" if self.case else self.check.id

    def not_applicable(self) -> str | None:
        """Why the check does not apply; None if it does."""
        return self.check.applies(self.subject, self.case)

    def known_failure(self) -> str | None:
        """The reason given in the case's ``skip`` for failing the check."""
        return self.case.skip.get(self.check.id) if self.case else None

    def run(self) -> None:
        """Run the check; a known failure must still fail, so that outdated entries of ``skip`` are noticed."""
        arguments = (self.subject, self.case) if self.check.per_case else (self.subject,)
        reason = self.known_failure()
        if reason is None:
            self.check.run(*arguments)
            return
        try:
            self.check.run(*arguments)
        except Exception:  # noqa: BLE001 - a known failure may raise anything
            return
        raise CheckFailure(f"{self} passes although the case lists it in skip ({reason}): remove the entry")


def items(subject: Subject) -> Iterator[Item]:
    """All checks on a subject, including those that do not apply."""
    for each in CHECKS.values():
        for case in subject.cases if each.per_case else (None,):
            yield Item(each, subject, case)


def layer_suite(type_name: str, plugins: Registry | None = None) -> type[Any]:
    """A pytest class that runs the whole checklist on one layer.

    Args:
        type_name: the layer's type.
        plugins: the registry that provides it (default: all installed plugins).

    >>> TestReLU = layer_suite("ReLU")
    """
    subject = Subject.of(type_name, plugins)
    applicable = [item for item in items(subject) if item.not_applicable() is None]

    @pytest.mark.parametrize("item", applicable, ids=str)
    def test_checklist(self: Any, item: Item) -> None:
        item.run()

    return type(f"Test{type_name}", (), {"test_checklist": test_checklist, "__doc__": f"{type_name}."})


def needs(**facts: Any) -> Applies:
    """A rule for layers whose class attributes have these values."""

    def applies(subject: Subject, case: Case | None) -> str | None:
        other = [name for name, value in facts.items() if getattr(subject.layer, name) != value]
        return f"{', '.join(other)}: {[getattr(subject.layer, name) for name in other]}" if other else None

    return applies


def all_of(*rules: Applies) -> Applies:
    """A rule that applies where all given rules do."""
    return lambda subject, case: next(filter(None, (rule(subject, case) for rule in rules)), None)


def has_bottoms(subject: Subject, case: Case | None) -> str | None:
    """Applies to cases with bottoms."""
    cases = [case] if case else subject.cases
    return None if any(each.bottoms for each in cases) else "no bottoms"
