"""Each check of the checklist of policies catches a policy that violates its requirement."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytest

from cafx.conformance import Subject, load_checks
from cafx.conformance.catching import problems_of
from cafx.conformance.kinds.policy import PolicyCase
from cafx.kernel import Policy, Registry

CHECKS = load_checks("policy")


class Halving(Policy):
    """A correct policy: rate = base_lr · gamma^iteration, and a step per ten iterations."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.require(gamma=0)

    def rate(self, iteration: int) -> float:
        """base_lr · gamma^iteration."""
        return float(self.options.base_lr * self.options.gamma**iteration)

    def step(self, iteration: int) -> int:
        """One per ten iterations."""
        return iteration // 10

    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        """One that is accepted, one that is refused."""
        yield PolicyCase("half", {"gamma": 0.5}, rates={0: 1, 3: 0.125}, never_rises=True)
        yield PolicyCase("no-gamma", {}, error="gamma")


class Watching(Halving):
    """A correct policy that counts the losses above 1, and divides the rate by 1 + their number."""

    watches_loss = True

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.count = 0

    def observe(self, loss: float, iteration: int) -> None:
        """Count."""
        self.count += loss > 1

    def rate(self, iteration: int) -> float:
        """base_lr / (1 + count)."""
        return float(self.options.base_lr / (1 + self.count))

    def state(self) -> dict[str, Any]:
        """The count."""
        return {"count": self.count}

    def restore(self, state: dict[str, Any]) -> None:
        """The count."""
        self.count = state.get("count", 0)

    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        """Two losses above 1."""
        yield PolicyCase("two", {"gamma": 0.5}, rates={0: 0.5, 3: 1 / 3}, losses=[2, 0, 2, 0], never_rises=True)
        yield PolicyCase("no-gamma", {}, error="gamma")


WRONG: list[tuple[str, type[Any]]] = []


def wrong(check: str) -> Any:
    """Register a policy that ``check`` must catch."""

    def register(policy: type[Any]) -> type[Any]:
        policy.__doc__ = policy.__doc__ or Halving.__doc__
        WRONG.append((check, policy))
        return policy

    return register


@wrong("entry-point")
class NoPolicy:
    cases = Halving.cases


@wrong("docstring")
class Undocumented(Halving):
    """Halves."""


@wrong("cases")
class WithoutCases(Halving):
    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        return ()


@wrong("cases")
class Twice(Halving):
    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        return [PolicyCase("one", {"gamma": 0.5}), PolicyCase("one", {"gamma": 0.5})]


@wrong("formula")
class AnotherFormula(Halving):
    def rate(self, iteration: int) -> float:
        return super().rate(iteration) / 2


@wrong("formula")
class NothingExpected(Halving):
    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        return [PolicyCase("one", {"gamma": 0.5})]


@wrong("finite")
class NotFinite(Halving):
    def rate(self, iteration: int) -> float:
        return math.inf if iteration == 9_999 else super().rate(iteration)


@wrong("finite")
class Whole(Halving):
    def rate(self, iteration: int) -> Any:
        return 1


@wrong("pure")
class Counting(Halving):
    calls = 0

    def rate(self, iteration: int) -> float:
        self.calls += 1
        return super().rate(iteration) / self.calls


@wrong("pure")
class OrderDependent(Halving):
    highest = 0

    def rate(self, iteration: int) -> float:
        self.highest = max(self.highest, iteration)
        return super().rate(self.highest)


@wrong("pure")
class Writing(Halving):
    def rate(self, iteration: int) -> float:
        self.options.display = 7
        return super().rate(iteration)


@wrong("never-rises")
class Rising(Halving):
    def rate(self, iteration: int) -> float:
        return float(iteration)


@wrong("steps")
class FallingSteps(Halving):
    def step(self, iteration: int) -> int:
        return 10 - iteration


@wrong("resume")
class Forgetting(Watching):
    def restore(self, state: dict[str, Any]) -> None:
        """Nothing."""


@wrong("resume")
class Unsaved(Watching):
    def state(self) -> dict[str, Any]:
        return {"count": object()}


@wrong("refused")
class Lenient(Halving):
    def __init__(self, options: Any) -> None:
        self.options = options


@wrong("refused")
class Unclear(Halving):
    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        return [PolicyCase("no-gamma", {}, error="power")]


@wrong("refused")
class NothingRefused(Halving):
    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        return [PolicyCase("half", {"gamma": 0.5}, rates={0: 1})]


@pytest.fixture(scope="module")
def plugins() -> Registry:
    """One registry with all of them, so that the schema is composed once."""
    found = Registry()
    for each in {Halving, Watching, *(policy for _, policy in WRONG)}:
        found.add("policy", each.__name__, each)
    return found


def failures(plugins: Registry, policy: type[Any], check_id: str) -> list[str]:
    """What one check says."""
    return problems_of(Subject.of(policy.__name__, plugins, "policy"), "policy", check_id)


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "policy"), WRONG, ids=lambda each: getattr(each, "__name__", each))
def test_the_check_catches_it(check_id: str, policy: type[Any], plugins: Registry) -> None:
    assert failures(plugins, policy, check_id)


@pytest.mark.parametrize("policy", [Halving, Watching])
@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_policy_passes(check_id: str, policy: type[Any], plugins: Registry) -> None:
    assert failures(plugins, policy, check_id) == []


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, _ in WRONG} == set(CHECKS)
