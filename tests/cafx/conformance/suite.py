"""The suite: its checklists, one per kind of plugin; the plugins and cases they apply to; how they run."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import attrs
import pytest

from cafx.kernel import CafxError, Registry, registry
from cafx.kernel.registry import Plugin


class CheckFailure(AssertionError):
    """Raised by a check: what is wrong with the plugin and what its author should do."""


class AnyCase(Protocol):
    """A conformance case of any kind.

    Attributes:
        name: a short name, unique among the plugin's cases.
        skip: the ids of checks that the case fails, with the reason for each.
    """

    @property
    def name(self) -> str:
        """See above."""

    @property
    def skip(self) -> Mapping[str, str]:
        """See above."""


@attrs.frozen
class Subject:
    """The plugin under test.

    Attributes:
        type: the name by which users know it: ``ReLU``, ``inv``.
        plugin: its entry point.
        plugins: the registry that provides it.
        thing: the class, function or command that the entry point refers to.
        cases: its conformance cases.
    """

    type: str
    plugin: Plugin
    plugins: Registry
    thing: Any
    cases: tuple[Any, ...]

    @classmethod
    def of(cls, type_name: str, plugins: Registry | None = None, kind: str = "layer") -> Subject:
        """The subject of a plugin's name.

        Args:
            type_name: the plugin's name.
            plugins: the registry that provides it (default: all installed plugins).
            kind: what it plugs into, a key of `cafx.kernel.registry.KINDS`.

        Raises:
            CafxError: there is no such plugin, it cannot be imported, or its cases fail.
        """
        plugins = plugins or registry()
        plugin = plugins.find(kind, type_name)
        thing = plugins.load(kind, type_name)
        return cls(type_name, plugin, plugins, thing, cases_of(thing, plugin))

    @property
    def layer(self) -> Any:
        """The class, of a layer."""
        return self.thing


def cases_of(thing: Any, plugin: Plugin) -> tuple[Any, ...]:
    """The conformance cases of a plugin: of its own ``cases()``, or of its module's.

    Commands and functions cannot have a class method; the function ``cases`` in their module yields their cases.

    Raises:
        CafxError: ``cases()`` raises an exception.
    """
    module = sys.modules.get(plugin.value.partition(":")[0])
    cases = getattr(thing, "cases", None) or getattr(module, "cases", None)
    try:
        return tuple(cases()) if callable(cases) else ()
    except Exception as error:  # a third party's code may raise anything
        found = f"{type(error).__name__}: {error}"
        raise CafxError(f"the cases of plugin '{plugin.name}' fail", where=plugin.value, found=found) from error


Applies = Callable[[Subject, Any], "str | None"]
"""Takes a subject, and a case or None."""


@attrs.frozen
class Check:
    """One item of the checklist.

    Attributes:
        id: its name in CONTRIBUTING.md.
        title: the requirement in one line.
        run: raises `CheckFailure` with advice if the plugin does not meet the requirement.
        per_case: whether it runs once per case, or once per plugin.
        applies: returns why it does not apply to a subject or case; None if it does.
    """

    id: str
    title: str
    run: Callable[..., None]
    per_case: bool
    applies: Applies


CHECKLISTS: dict[str, dict[str, Check]] = {}
"""The checks by kind and id."""
MODULES = {
    "layer": (
        "checks_declaration",
        "checks_maths",
        "checks_running",
        "checks_not_finite",
        "checks_engines",
        "checks_onnx",
    ),
    "policy": ("kinds.policy",),
    "solver": ("kinds.solver",),
    "filler": ("kinds.filler",),
    "monitor": ("kinds.monitor",),
    "format": ("kinds.format", "kinds.format_damage"),
    "database": ("kinds.database",),
    "command": ("kinds.command",),
    "data": ("kinds.data",),
    "engine": ("kinds.engine",),
    "routine": ("kinds.routine",),
    "upgrade": ("kinds.upgrade",),
    "dialect": ("kinds.dialect",),
    "model": ("kinds.model",),
    "communicator": ("kinds.communicator",),
    "executor": ("kinds.executor",),
    "source": ("kinds.source",),
    "onnx": ("kinds.onnx",),
}
"""The modules with the checks of each kind, in the order of the table."""


def always(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to every plugin of the kind."""
    return None


def check(
    identity: str, title: str, *, kind: str = "layer", per_case: bool = True, applies: Applies = always
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a function as a check.

    Args:
        identity: the check's name in CONTRIBUTING.md.
        title: the requirement in one line.
        kind: the checklist it belongs to.
        per_case: whether the function takes (subject, case), or (subject) alone.
        applies: returns why the check does not apply to a subject or case; None if it does.
    """

    def register(run: Callable[..., None]) -> Callable[..., None]:
        CHECKLISTS.setdefault(kind, {})[identity] = Check(identity, title, run, per_case, applies)
        return run

    return register


@attrs.frozen
class Item:
    """One check on one subject or case."""

    check: Check
    subject: Subject
    case: AnyCase | None

    def __str__(self) -> str:
        return f"{self.check.id}-{self.case.name}" if self.case else self.check.id

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


def load_checks(kind: str = "layer") -> dict[str, Check]:
    """Every check of a kind, by id and in the order of the table; none for a kind without a checklist."""
    kind = checklist_kind(kind)
    modules = [f"cafx.conformance.{module}" for module in MODULES.get(kind, ())]
    for module in modules:
        importlib.import_module(module)
    found = CHECKLISTS.get(kind, {}).items()
    order = {module: index for index, module in enumerate(modules)}
    return dict(sorted(found, key=lambda each: order.get(each[1].run.__module__, -1)))


def checklist_kind(kind: str) -> str:
    """The checklist of a registry's kind: that of ``engine.NAME``, the routines of an engine, is ``routine``."""
    return "routine" if kind.startswith("engine.") and not kind.endswith(".solvers") else kind


def items(subject: Subject, kind: str = "layer") -> Iterator[Item]:
    """All checks of a kind on a subject, including those that do not apply."""
    for each in load_checks(kind).values():
        for case in subject.cases if each.per_case else (None,):
            yield Item(each, subject, case)


def layer_suite(type_name: str, plugins: Registry | None = None) -> type[Any]:
    """A pytest class that runs the whole checklist on one layer.

    Args:
        type_name: the layer's type.
        plugins: the registry that provides it (default: all installed plugins).

    >>> TestReLU = layer_suite("ReLU")
    """
    return plugin_suite("layer", type_name, plugins)


def plugin_suite(kind: str, name: str, plugins: Registry | None = None) -> type[Any]:
    """A pytest class that runs the checklist of its kind on one plugin.

    A plugin that cannot be imported gives a class with one failing test, which names the plugin: the other tests of
    the folder are collected and run all the same.

    Args:
        kind: ``layer``, ``policy``, ``solver``, …; ``data`` for what data layers must do besides; ``engine.NAME`` for
            the routines of an engine.
        name: the plugin's name in its entry-point group.
        plugins: the registry that provides it (default: all installed plugins).

    >>> TestInv = plugin_suite("policy", "inv")
    """
    class_name = f"Test{name.title().replace('-', '').replace('_', '')}" if name.islower() else f"Test{name}"
    try:
        subject = Subject.of(name, plugins, registry_kind(kind))
    except CafxError as error:
        return type(class_name, (), {"test_loads": _failing(str(error)), "__doc__": f"{name}."})
    applicable = [item for item in items(subject, kind) if item.not_applicable() is None]

    @pytest.mark.parametrize("item", applicable, ids=str)
    def test_checklist(self: Any, item: Item) -> None:
        item.run()

    return type(class_name, (), {"test_checklist": test_checklist, "__doc__": f"{name}."})


def registry_kind(kind: str) -> str:
    """The registry's kind of what a checklist is about: data layers are layers."""
    return "layer" if kind == "data" else kind


def _failing(problem: str) -> Callable[[Any], None]:
    def test_loads(self: Any) -> None:
        raise CheckFailure(problem)

    return test_loads


def needs(**facts: Any) -> Applies:
    """A rule for layers whose class attributes have these values."""

    def applies(subject: Subject, case: AnyCase | None) -> str | None:
        other = [name for name, value in facts.items() if getattr(subject.layer, name) != value]
        return f"{', '.join(other)}: {[getattr(subject.layer, name) for name in other]}" if other else None

    return applies


def all_of(*rules: Applies) -> Applies:
    """A rule that applies where all given rules do."""
    return lambda subject, case: next(filter(None, (rule(subject, case) for rule in rules)), None)


def has_bottoms(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases with bottoms."""
    cases: Sequence[Any] = [case] if case else subject.cases
    return None if any(each.bottoms for each in cases) else "no bottoms"
