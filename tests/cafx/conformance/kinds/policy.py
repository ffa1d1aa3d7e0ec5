"""The checklist of learning rate policies.

>>> from cafx.conformance import plugin_suite
>>> TestInv = plugin_suite("policy", "inv")
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from cafx.conformance.kinds.common import common_checks
from cafx.conformance.suite import AnyCase, CheckFailure, Subject, check
from cafx.kernel import CafxError, Policy, schema

KIND = "policy"
ITERATIONS = (0, 1, 2, 3, 5, 10, 99, 100, 101, 1_000, 9_999, 10_000, 123_456)
TOLERANCE = 1e-6
"""Relative; options are float32 in files."""


@attrs.frozen
class PolicyCase:
    """A policy with its options, and what its rates must be.

    Args:
        name: a short name, unique among the policy's cases.
        options: fields of SolverParameter; ``base_lr`` is 1 and ``max_iter`` 10,000 unless given.
        rates: rates worked out by hand or by another program, by iteration.
        never_rises: whether the rate never rises.
        losses: the smoothed losses of the first iterations, for a policy that watches the loss.
        error: words of the error, if these options must be refused.
        skip: the ids of checks that this case fails, with the reason for each.
    """

    name: str
    options: Mapping[str, Any]
    rates: Mapping[int, float] = attrs.field(factory=dict)
    never_rises: bool = False
    losses: Sequence[float] = ()
    error: str | None = None
    skip: Mapping[str, str] = attrs.field(factory=dict)


common_checks(KIND, Policy)


def made(subject: Subject, case: PolicyCase) -> Policy:
    """The policy of a case."""
    given = {"lr_policy": subject.type, "base_lr": 1.0, "max_iter": 10_000, **case.options}
    options = schema(subject.plugins)["SolverParameter"](**given)
    policy: Policy = subject.thing(options)
    return policy


def rates(policy: Policy, case: PolicyCase, iterations: Sequence[int]) -> list[float]:
    """The rates of iterations, after the losses up to each have been observed."""
    found = []
    for iteration in iterations:
        if iteration < len(case.losses):
            policy.observe(case.losses[iteration], iteration)
        found.append(policy.rate(iteration))
    return found


def iterations_of(case: PolicyCase) -> list[int]:
    """The iterations that a case is tried at: those of its losses, else a spread over a training."""
    return list(range(len(case.losses))) or sorted({*ITERATIONS, *case.rates})


def accepted(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases whose options are valid."""
    return "the case is about an error" if isinstance(case, PolicyCase) and case.error is not None else None


@check("formula", "rates equal those that the case gives", kind=KIND, applies=accepted)
def formula(subject: Subject, case: PolicyCase) -> None:
    if not case.rates:
        raise CheckFailure("the case gives no rates: work some out by hand")
    iterations = iterations_of(case)
    found = dict(zip(iterations, rates(made(subject, case), case, iterations), strict=True))
    for iteration, expected in case.rates.items():
        if not math.isclose(found[iteration], expected, rel_tol=TOLERANCE, abs_tol=1e-12):
            raise CheckFailure(f"rate({iteration}) is {found[iteration]:g}, but the case gives {expected:g}")


@check("finite", "every rate is a finite float, not below 0", kind=KIND, applies=accepted)
def finite(subject: Subject, case: PolicyCase) -> None:
    for iteration, rate in zip(iterations_of(case), rates(made(subject, case), case, iterations_of(case)), strict=True):
        if not isinstance(rate, float) or not math.isfinite(rate) or rate < 0:
            raise CheckFailure(f"rate({iteration}) is {rate!r}; expected a finite float of at least 0")


@check("pure", "a rate depends on options, iteration and observed losses only", kind=KIND, applies=accepted)
def pure(subject: Subject, case: PolicyCase) -> None:
    iterations = iterations_of(case)
    policy = made(subject, case)
    before = policy.options.SerializeToString()
    first = rates(policy, case, iterations)
    again = [policy.rate(iterations[-1]) for _ in range(3)]
    if again != [first[-1]] * 3:
        raise CheckFailure(f"rate({iterations[-1]}) changes from call to call: {first[-1]:g}, then {again[0]:g}")
    if not subject.thing.watches_loss:
        other = made(subject, case)
        backwards = [other.rate(iteration) for iteration in reversed(iterations)][::-1]
        if backwards != first:
            raise CheckFailure("rates depend on the order of calls; a resumed training would have others")
    if policy.options.SerializeToString() != before:
        raise CheckFailure("the policy changes the SolverParameter")


@check("never-rises", "where the case says so, the rate never rises", kind=KIND, applies=accepted)
def never_rises(subject: Subject, case: PolicyCase) -> None:
    if not case.never_rises:
        return
    iterations = iterations_of(case)
    found = rates(made(subject, case), case, iterations)
    for at, (one, two) in enumerate(itertools.pairwise(found)):
        if two > one * (1 + TOLERANCE):
            raise CheckFailure(
                f"the rate rises from {one:g} to {two:g} between {iterations[at]} and {iterations[at + 1]}"
            )


@check("steps", "the number of completed steps is a whole number that never falls", kind=KIND, applies=accepted)
def steps(subject: Subject, case: PolicyCase) -> None:
    policy, last = made(subject, case), 0
    for iteration in iterations_of(case):
        rates(policy, case, [iteration])
        step = policy.step(iteration)
        if not isinstance(step, int) or step < last:
            raise CheckFailure(f"step({iteration}) is {step!r} after {last}")
        last = step


@check("resume", "state and restore continue as if nothing had happened", kind=KIND, applies=accepted)
def resume(subject: Subject, case: PolicyCase) -> None:
    iterations = iterations_of(case)
    half = len(iterations) // 2
    whole, first, second = (made(subject, case) for _ in range(3))
    expected = rates(whole, case, iterations)
    rates(first, case, iterations[:half])
    state = first.state()
    try:
        saved = json.loads(json.dumps(state, allow_nan=True))
    except TypeError as error:
        raise CheckFailure(f"state() cannot be saved as JSON: {error}") from None
    second.restore(saved)
    if rates(second, case, iterations[half:]) != expected[half:]:
        raise CheckFailure("after restore(state()), rates differ from those of an uninterrupted training")
    made(subject, case).restore({})


@check("refused", "invalid options raise a CafxError that names them", kind=KIND, per_case=False)
def refused(subject: Subject) -> None:
    wrong = [case for case in subject.cases if case.error is not None]
    for case in wrong:
        try:
            made(subject, case)
        except CafxError as error:
            if case.error not in str(error):
                raise CheckFailure(f"{case.name}: the error does not mention {case.error!r}: {error}") from None
        else:
            raise CheckFailure(f"{case.name}: these options are accepted")
    if not wrong and any(set(case.options) - {"base_lr", "max_iter"} for case in subject.cases):
        raise CheckFailure("the policy has options, but no case with an error says which values are refused")
