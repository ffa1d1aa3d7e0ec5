"""The checklist of solvers: update rules.

>>> from cafx.conformance import plugin_suite
>>> TestSGD = plugin_suite("solver", "SGD")
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.conformance.device import DeviceArray
from cafx.conformance.kinds.common import common_checks, own_docstring
from cafx.conformance.strict import strict
from cafx.conformance.suite import AnyCase, CheckFailure, Subject, check
from cafx.kernel import CafxError, Solver, UpdateRule, schema

KIND = "solver"
COMMON = ("base_lr", "lr_policy", "max_iter", "type")
"""Options that are not a rule's own."""
COUNT, STEPS, RATE = 97, 6, 0.1
SCALES = (1e-4, 1.0, 1e3)
"""Magnitudes of gradients."""
EXACT = 1e-9
"""Relative tolerance in float64."""
SINGLE = 1e-4
"""Tolerance in float32, relative to an update and to the largest of all."""
NET = """
layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 4 dim: 3 }
  data_filler { type: "gaussian" } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" } bias_filler { value: 0.5 } } }
layer { name: "loss" type: "Reduction" bottom: "y" top: "l" reduction_param { operation: SUMSQ } loss_weight: 0.5 }
"""
Array = npt.NDArray[Any]
Formula = Callable[[Array, Sequence[Array], float, int, Any], tuple[Array, Sequence[Array]]]


@attrs.frozen
class SolverCase:
    """A solver with its options, and its formula.

    Args:
        name: a short name, unique among the solver's cases.
        options: fields of SolverParameter.
        formula: the rule once more, in plain NumPy and float64: takes gradient, history, rate, iteration and the
            SolverParameter, changes none of them, and returns the update and the new history.
        error: words of the error, if these options must be refused.
        skip: the ids of checks that this case fails, with the reason for each.
    """

    name: str
    options: Mapping[str, Any] = attrs.field(factory=dict)
    formula: Formula | None = None
    error: str | None = None
    skip: Mapping[str, str] = attrs.field(factory=dict)


common_checks(KIND, UpdateRule)


def message(subject: Subject, case: SolverCase) -> Any:
    """The SolverParameter of a case."""
    given = {"type": subject.type, "base_lr": RATE, "lr_policy": "fixed", "max_iter": 10, **case.options}
    return schema(subject.plugins)["SolverParameter"](**given)


def made(subject: Subject, case: SolverCase) -> UpdateRule:
    """The rule of a case."""
    rule: UpdateRule = subject.thing(message(subject, case))
    return rule


def accepted(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases whose options are valid."""
    return "the case is about an error" if isinstance(case, SolverCase) and case.error is not None else None


@attrs.frozen(eq=False)
class Moment:
    """One update, as the formula has it.

    Attributes:
        gradient, history, iteration: what it begins with.
        update, after: what it must give: the update and the new history.
    """

    gradient: Array
    history: list[Array]
    iteration: int
    update: Array
    after: list[Array]


def moments(rule: UpdateRule, case: SolverCase) -> Iterator[Moment]:
    """Updates over random histories: those that the formula itself builds up from random gradients."""
    if case.formula is None:
        raise CheckFailure("the case gives no formula: write the rule once more, in plain NumPy")
    for seed, scale in enumerate(SCALES):
        rng = np.random.default_rng(seed)
        history = [np.zeros(COUNT) for _ in range(rule.slots)]
        for iteration in range(STEPS):
            gradient = scale * rng.standard_normal(COUNT) * 10.0 ** rng.integers(-1, 2, COUNT)
            copies = gradient.copy(), [each.copy() for each in history]
            update, after = case.formula(*copies, RATE, iteration, rule.options)
            after = list(after)
            if len(after) != rule.slots:
                raise CheckFailure(f"slots = {rule.slots}, but the formula of the case returns {len(after)} histories")
            yield Moment(gradient, history, iteration, np.asarray(update), after)
            history = after


def run(rule: UpdateRule, moment: Moment, dtype: npt.DTypeLike = np.float64, device: bool = False) -> list[Array]:
    """The update and the history that the rule gives, in arrays of a type, on the host or the stand-in device."""
    arrays = [np.array(each, dtype) for each in (moment.gradient, *moment.history)]
    given: list[Any] = [DeviceArray(each) if device else each for each in arrays]
    passes = strict(f"update by solver type {rule.options.type}") if device else nullcontext()
    with passes, np.errstate(over="ignore", invalid="ignore"):
        rule.update(given[0], given[1:], RATE, moment.iteration)
    return arrays


def differs(found: Array, expected: Array, tolerance: float) -> bool:
    """Whether values differ by more than a tolerance, relative to each and, for cancellation, to the largest."""
    largest = float(np.abs(expected).max(initial=0.0))
    return not np.allclose(found, expected, rtol=tolerance, atol=tolerance * largest * 0.1)


@check("formula", "in float64, updates equal those of the case's formula", kind=KIND, applies=accepted)
def formula(subject: Subject, case: SolverCase) -> None:
    rule = made(subject, case)
    for moment in moments(rule, case):
        update = run(rule, moment)[0]
        if differs(update, moment.update, EXACT):
            at = int(np.argmax(np.abs(update - moment.update)))
            raise CheckFailure(
                f"iteration {moment.iteration}: for gradient {moment.gradient[at]:g} the update is {update[at]:g}, "
                f"but the formula gives {moment.update[at]:g}"
            )


@check(
    "history",
    "the rule keeps the history that it declares, and changes it as the formula does",
    kind=KIND,
    applies=accepted,
)
def history(subject: Subject, case: SolverCase) -> None:
    rule = made(subject, case)
    for moment in moments(rule, case):
        for index, (found, expected) in enumerate(zip(run(rule, moment)[1:], moment.after, strict=True)):
            if differs(found, expected, EXACT):
                raise CheckFailure(f"iteration {moment.iteration}: history {index} is not what the formula gives")


@check("precision", "updates in float32 agree with those of the formula in float64", kind=KIND, applies=accepted)
def precision(subject: Subject, case: SolverCase) -> None:
    rule = made(subject, case)
    for moment in moments(rule, case):
        if differs(run(rule, moment, np.float32)[0], moment.update, SINGLE):
            raise CheckFailure(f"iteration {moment.iteration}: the update in float32 is not that in float64")


@check(
    "chunks", "chunks of any size, updated in any order, give the same bits as one array", kind=KIND, applies=accepted
)
def chunks(subject: Subject, case: SolverCase) -> None:
    rule, rng = made(subject, case), np.random.default_rng(1)
    for moment in moments(rule, case):
        whole = run(rule, moment, np.float32)
        cuts = [0, *sorted(rng.choice(np.arange(1, COUNT), 5, replace=False).tolist()), COUNT]
        arrays = [np.array(each, np.float32) for each in (moment.gradient, *moment.history)]
        for part in rng.permutation(len(cuts) - 1):
            diff, *slots = [each[cuts[part] : cuts[part + 1]] for each in arrays]
            rule.update(diff, slots, RATE, moment.iteration)
        if any(one.tobytes() != two.tobytes() for one, two in zip(whole, arrays, strict=True)):
            raise CheckFailure(
                "in chunks, the update is another: a rule must be elementwise, since the solver applies it to chunks "
                "in parallel; for what concerns a whole blob or net, override updater()"
            )


@check("inside", "nothing beyond the given chunk is read or written", kind=KIND, applies=accepted)
def inside(subject: Subject, case: SolverCase) -> None:
    rule = made(subject, case)
    for moment in moments(rule, case):
        expected = run(rule, moment, np.float32)
        for outside in (np.nan, 7.0):
            wide = [np.full(3 * COUNT, outside, np.float32) for _ in expected]
            parts = [each[COUNT : 2 * COUNT] for each in wide]
            for part, values in zip(parts, (moment.gradient, *moment.history), strict=True):
                part[...] = values
            rule.update(parts[0], parts[1:], RATE, moment.iteration)
            if any(part.tobytes() != each.tobytes() for part, each in zip(parts, expected, strict=True)):
                raise CheckFailure("the update depends on values beyond the chunk, or is not written into the arrays")
            rest = np.concatenate([np.delete(each, np.s_[COUNT : 2 * COUNT]) for each in wide])
            if not np.array_equal(rest, np.full_like(rest, outside), equal_nan=True):
                raise CheckFailure("values beyond the chunk are changed")


@check("stateless", "an update changes neither the rule nor the options", kind=KIND, applies=accepted)
def stateless(subject: Subject, case: SolverCase) -> None:
    rule = made(subject, case)
    before, options = dict(vars(rule)), rule.options.SerializeToString()
    for moment in moments(rule, case):
        run(rule, moment)
        changed = [name for name, value in vars(rule).items() if before.get(name, rule) is not value]
        if changed:
            raise CheckFailure(
                f"update() sets {', '.join(changed)}: several threads call it, and a snapshot saves the history only"
            )
    if rule.options.SerializeToString() != options:
        raise CheckFailure("update() changes the SolverParameter")


@check("zero", "without gradient and history, nothing changes", kind=KIND, applies=accepted)
def zero(subject: Subject, case: SolverCase) -> None:
    rule, nothing = made(subject, case), np.zeros(COUNT)
    for iteration in (0, 1, 10**6):
        update = run(rule, Moment(nothing, [nothing] * rule.slots, iteration, nothing, []), np.float32)[0]
        if update.any():
            raise CheckFailure(f"iteration {iteration}: the update of a zero gradient is {update[0]:g}")


@check(
    "finite",
    "updates are finite at the first and at late iterations, for small and large gradients",
    kind=KIND,
    applies=accepted,
)
def finite(subject: Subject, case: SolverCase) -> None:
    rule, nothing = made(subject, case), np.zeros(COUNT)
    for iteration in (0, 1, 10**6):
        for scale in (0.0, 1e-30, 1e-3, 1e6):
            gradient = scale * np.linspace(-1, 1, COUNT)
            arrays = run(rule, Moment(gradient, [nothing] * rule.slots, iteration, nothing, []), np.float32)
            if not all(np.isfinite(each).all() for each in arrays):
                raise CheckFailure(f"iteration {iteration}: gradients of size {scale:g} give NaN or infinity")


@check(
    "device",
    "the rule runs on arrays that do not mix with NumPy's, and gives the same bits",
    kind=KIND,
    applies=accepted,
)
def device(subject: Subject, case: SolverCase) -> None:
    rule = made(subject, case)
    for moment in moments(rule, case):
        expected = run(rule, moment, np.float32)
        try:
            found = run(rule, moment, np.float32, device=True)
        except (TypeError, AttributeError) as error:
            raise CheckFailure(f"on a device's arrays: {error}") from error
        if any(one.tobytes() != two.tobytes() for one, two in zip(found, expected, strict=True)):
            raise CheckFailure("on a device's arrays the update is another, or is not written into the arrays")


@check(
    "resume", "a training resumed from a snapshot equals an uninterrupted one, bit for bit", kind=KIND, applies=accepted
)
def resume(subject: Subject, case: SolverCase) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = message(subject, case)
        options.MergeFrom(schema(subject.plugins).parse_text(f"net_param {{ {NET} }}", "SolverParameter"))
        options.random_seed, options.snapshot_prefix = 3, str(Path(folder, "s"))
        whole, first, second = (Solver(options, engine="numpy", plugins=subject.plugins) for _ in range(3))
        with whole, first, second:
            whole.step(5)
            first.step(2)
            second.restore(first.snapshot()[1])
            second.step(3)
            if parameters(whole) != parameters(second):
                raise CheckFailure(
                    "after a resume, parameters differ: what an update depends on must be in the history, "
                    "the iteration or the options"
                )


def parameters(solver: Solver) -> list[bytes]:
    """All parameters, bit by bit."""
    return [blob.host().tobytes() for layer in solver.net.layers for blob in layer.blobs]


@check(
    "options-documented",
    "the docstring names every option that a case sets; options of its own have a line of documentation each",
    kind=KIND,
    per_case=False,
)
def options_documented(subject: Subject) -> None:
    text, own = own_docstring(subject.thing, UpdateRule), subject.thing.Parameter
    named = {name for case in subject.cases if case.error is None for name in case.options} - set(COMMON)
    missing = [name for name in named - {own and own.__extends__ and own.__extends__.field} if name not in text]
    missing += [name for name, each in (own.__options__ if own else {}).items() if not each.doc]
    if missing:
        raise CheckFailure(f"not documented: {', '.join(sorted(missing))}")


@check("refused", "invalid options raise a CafxError that names them", kind=KIND, per_case=False)
def refused(subject: Subject) -> None:
    for case in subject.cases:
        if case.error is None:
            continue
        try:
            made(subject, case)
        except CafxError as error:
            if case.error not in str(error):
                raise CheckFailure(f"{case.name}: the error does not mention {case.error!r}: {error}") from None
        else:
            raise CheckFailure(f"{case.name}: these options are accepted")
    if subject.thing.__init__ is not UpdateRule.__init__ and not any(case.error for case in subject.cases):
        raise CheckFailure("the rule checks its options, but no case with an error says which values are refused")
