"""The suite: which checks there are, to which layers and cases they apply, and running them."""

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
    """A check's finding: what is wrong with the layer and what its author should do."""


@attrs.frozen
class Subject:
    """The layer under test: its type, class, cases and where it comes from."""

    type: str
    layer: LayerClass
    cases: tuple[Case, ...]
    plugin: Plugin
    plugins: Registry

    @classmethod
    def of(cls, type_name: str, plugins: Registry | None = None) -> Subject:
        """The subject for an installed layer type."""
        plugins = plugins or registry()
        layer = plugins.load("layer", type_name)
        return cls(type_name, layer, tuple(layer.cases()), plugins.find("layer", type_name), plugins)


Applies = Callable[[Subject, "Case | None"], "str | None"]


@attrs.frozen
class Check:
    """One item of the checklist.

    Attributes:
        id: its name in CONTRIBUTING.md.
        title: what it asks, in a line.
        run: raises `CheckFailure` with advice where the layer falls short.
        per_case: whether it runs once a case, or once a layer.
        applies: says why it does not apply to a subject, or None if it does.
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
    """Make a function a check: of (subject, case), or of (subject) with ``per_case=False``."""

    def enter(run: Callable[..., None]) -> Callable[..., None]:
        CHECKS[identity] = Check(identity, title, run, per_case, applies)
        return run

    return enter


@attrs.frozen
class Item:
    """One check on one subject or case."""

    check: Check
    subject: Subject
    case: Case | None

    def __str__(self) -> str:
        return f"{self.check.id}-{self.case}" if self.case else self.check.id

    def not_applicable(self) -> str | None:
        """Why it does not apply, or None."""
        return self.check.applies(self.subject, self.case)

    def known_failure(self) -> str | None:
        """The reason the case's author gives for failing it."""
        return self.case.skip.get(self.check.id) if self.case else None

    def run(self) -> None:
        """Run it; a known failure must fail, so that its excuse goes when the reason does."""
        arguments = (self.subject, self.case) if self.check.per_case else (self.subject,)
        reason = self.known_failure()
        if reason is None:
            self.check.run(*arguments)
            return
        try:
            self.check.run(*arguments)
        except Exception:  # noqa: BLE001 - whatever a known failure raises, it failed as announced
            return
        raise CheckFailure(f"{self} passes, though its case excuses it ({reason}): remove the excuse")


def items(subject: Subject) -> Iterator[Item]:
    """Every check on a subject, whether it applies or not."""
    for each in CHECKS.values():
        for case in subject.cases if each.per_case else (None,):
            yield Item(each, subject, case)


def layer_suite(type_name: str, plugins: Registry | None = None) -> type[Any]:
    """A pytest class that holds one layer to the whole checklist.

    TestReLU = layer_suite("ReLU")
    """
    subject = Subject.of(type_name, plugins)
    applicable = [item for item in items(subject) if item.not_applicable() is None]

    @pytest.mark.parametrize("item", applicable, ids=str)
    def test_checklist(self: Any, item: Item) -> None:
        item.run()

    return type(f"Test{type_name}", (), {"test_checklist": test_checklist, "__doc__": f"{type_name}."})


def needs(**facts: Any) -> Applies:
    """Applies to layers whose class attributes have these values."""

    def applies(subject: Subject, case: Case | None) -> str | None:
        other = [name for name, value in facts.items() if getattr(subject.layer, name) != value]
        return f"{', '.join(other)}: {[getattr(subject.layer, name) for name in other]}" if other else None

    return applies


def all_of(*rules: Applies) -> Applies:
    """Applies where every rule does."""
    return lambda subject, case: next(filter(None, (rule(subject, case) for rule in rules)), None)


def has_bottoms(subject: Subject, case: Case | None) -> str | None:
    """Applies to cases with bottoms."""
    cases = [case] if case else subject.cases
    return None if any(each.bottoms for each in cases) else "it has no bottoms"
