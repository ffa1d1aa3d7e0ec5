"""Each check of the checklist of solvers catches a rule that violates its requirement."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from cafx.conformance import Subject, load_checks
from cafx.conformance.catching import problems_of
from cafx.conformance.kinds.solver import SolverCase
from cafx.kernel import Message, Registry, UpdateRule, message, option, schema

CHECKS = load_checks("solver")
Array = Any


def formula(g: Array, history: Sequence[Array], rate: float, t: int, options: Any) -> tuple[Array, list[Array]]:
    velocity = options.momentum * history[0] + g
    return rate * velocity / (t + 1), [velocity]


class Decaying(UpdateRule):
    """A correct rule: V ← momentum · V + ∇W; W ← W − rate / (t + 1) · V."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        if options.momentum >= 1:
            raise self.refuse("momentum", "momentum must be below 1")

    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        """rate / (t + 1) · V."""
        velocity = history[0]
        velocity *= self.options.momentum
        velocity += diff
        diff[...] = velocity
        diff *= rate / (iteration + 1)

    @classmethod
    def cases(cls) -> Iterable[SolverCase]:
        """One that is accepted, one that is refused."""
        yield SolverCase("half", {"momentum": 0.5}, formula)
        yield SolverCase("one", {"momentum": 1.0}, error="momentum")


@message("slowing_param", of="SolverParameter")
class SlowingParameter(Message):
    """How updates slow down."""

    factor: float = option(1, "float", 1.0, doc="what updates are divided by")


class Slowing(UpdateRule):
    """A correct rule with options of its own: W ← W − rate / factor · ∇W."""

    Parameter = SlowingParameter
    slots = 0

    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        """rate / factor · ∇W."""
        diff *= rate / self.own.factor

    @classmethod
    def cases(cls) -> Iterable[SolverCase]:
        """The default, and a factor."""

        def formula(g: Array, history: Sequence[Array], rate: float, t: int, options: Any) -> tuple[Array, list[Array]]:
            return rate * g / options.slowing_param.factor, []

        yield SolverCase("default", {}, formula)
        yield SolverCase("factor", {"slowing_param": {"factor": 4.0}}, formula)


WRONG: list[tuple[str, type[Any]]] = []


def wrong(*checks: str) -> Any:
    """Register a rule that each of the checks must catch."""

    def register(rule: type[Any]) -> type[Any]:
        rule.__doc__ = rule.__doc__ or Decaying.__doc__
        WRONG.extend((check, rule) for check in checks)
        return rule

    return register


def cases(*given: SolverCase) -> Any:
    return classmethod(lambda cls: given)


@wrong("entry-point")
class NoRule:
    cases = Decaying.cases


@wrong("docstring")
class Undocumented(Decaying):
    """Decays."""


@wrong("cases")
class WithoutCases(Decaying):
    cases = cases()


@wrong("formula", "precision")
class AnotherFormula(Decaying):
    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        super().update(diff, history, rate, iteration)
        diff *= 1.001


@wrong("formula", "history", "precision")
class NothingExpected(Decaying):
    cases = cases(SolverCase("half", {"momentum": 0.5}))


@wrong("history")
class OtherHistory(Decaying):
    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        super().update(diff, history, rate, iteration)
        history[0][...] = diff


@wrong("history")
class SecondSlot(Decaying):
    slots = 2


@wrong("precision")
class Cancelling(Decaying):
    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        super().update(diff, history, rate, iteration)
        diff += 1e6
        diff -= 1e6


@wrong("chunks")
class Normalised(Decaying):
    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        diff /= np.sqrt((diff * diff).sum()) + 1e-8
        super().update(diff, history, rate, iteration)


@wrong("inside")
class Wide(Decaying):
    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        if diff.base is not None:
            diff += diff.base.max()
        super().update(diff, history, rate, iteration)


@wrong("inside")
class Spilling(Decaying):
    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        super().update(diff, history, rate, iteration)
        if history[0].base is not None:
            history[0].base[0] = 0


@wrong("stateless", "resume")
class Counting(Decaying):
    calls = 0

    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        self.calls += 1
        super().update(diff, history, rate, self.calls)


@wrong("stateless")
class Writing(Decaying):
    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        self.options.display = 7
        super().update(diff, history, rate, iteration)


@wrong("zero")
class Restless(Decaying):
    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        super().update(diff, history, rate, iteration)
        diff += 1e-3


@wrong("finite")
class Dividing(Decaying):
    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        diff *= diff * diff
        with np.errstate(divide="ignore"):
            diff /= diff * diff
        super().update(diff, history, rate, iteration)


@wrong("device")
class HostOnly(Decaying):
    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        diff *= np.ones(diff.shape, diff.dtype)
        super().update(diff, history, rate, iteration)


@wrong("device")
class Reading(Decaying):
    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        if float(diff[0]) != 0:
            super().update(diff, history, rate, iteration)


@wrong("resume")
class Remembering(Decaying):
    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.seen: dict[int, int] = {}

    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        self.seen[threading.get_ident()] = first = self.seen.get(threading.get_ident(), iteration)
        super().update(diff, history, rate, iteration - first)


@wrong("options-documented")
class Undescribed(Decaying):
    """V ← m · V + ∇W; W ← W − rate / (t + 1) · V."""


@message("quiet_param", of="SolverParameter")
class QuietParameter(Message):
    """Says little."""

    factor: float = option(1, "float", 1.0, doc="")


@wrong("options-documented")
class OwnUndescribed(Decaying):
    Parameter = QuietParameter


@wrong("refused")
class Lenient(Decaying):
    def __init__(self, options: Any) -> None:
        self.options = options


@wrong("refused")
class Unclear(Decaying):
    cases = cases(SolverCase("one", {"momentum": 1.0}, error="power"))


@wrong("refused")
class NothingRefused(Decaying):
    cases = cases(SolverCase("half", {"momentum": 0.5}, formula))


@pytest.fixture(scope="module")
def plugins() -> Registry:
    """One registry with all of them, so that the schema is composed once."""
    found = Registry()
    for each in {Decaying, Slowing, *(rule for _, rule in WRONG)}:
        found.add("solver", each.__name__, each)
    return found


def failures(plugins: Registry, rule: type[Any], check_id: str) -> list[str]:
    """What one check says."""
    return problems_of(Subject.of(rule.__name__, plugins, "solver"), "solver", check_id)


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "rule"), WRONG, ids=lambda each: getattr(each, "__name__", each))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_check_catches_it(check_id: str, rule: type[Any], plugins: Registry) -> None:
    assert failures(plugins, rule, check_id)


@pytest.mark.parametrize("rule", [Decaying, Slowing])
@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_rule_passes(check_id: str, rule: type[Any], plugins: Registry) -> None:
    assert failures(plugins, rule, check_id) == []


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, _ in WRONG} == set(CHECKS)


@pytest.mark.slow
def test_a_schema_goes_with_its_registry() -> None:
    """Otherwise a new registry at the same address in memory would get it."""
    plugins = Registry()
    plugins.add("solver", "Slowing", Slowing)
    composed = weakref.ref(schema(plugins))
    assert composed() is schema(plugins)
    del plugins
    gc.collect()
    assert composed() is None
